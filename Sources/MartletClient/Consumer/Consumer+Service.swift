import ServiceLifecycle

/// In a `ServiceGroup` the consumer comes before those who loop over its records, so that it ends after them. Their loops end
/// by themselves when the service is shut down gracefully: after the record or batch at hand.
extension Consumer: Service {
    /// Waits for the graceful shutdown, or the task's cancellation, and closes: what the application is done with is
    /// committed, and the group left, before it returns.
    public func run() async throws {
        do {
            try await gracefulShutdown()
        } catch {
            // Cancelled, which ends the service as well.
        }
        // A cancelled task would not wait for the commit.
        await Task { await close() }.value
    }
}
