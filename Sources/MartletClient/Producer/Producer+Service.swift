import ServiceLifecycle

/// In a `ServiceGroup` the producer comes before those who use it, so that it ends after them.
extension Producer: Service {
    /// Waits for the graceful shutdown, or the task's cancellation, and closes: what was enqueued is written before it
    /// returns.
    public func run() async throws {
        do {
            try await gracefulShutdown()
        } catch {
            // Cancelled, which ends the service as well.
        }
        // A cancelled task would not wait for what is on its way.
        await Task { await close() }.value
    }
}
