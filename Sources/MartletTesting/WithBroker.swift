/// Runs `body` with a broker of its own, which is stopped and whose data is removed before this returns or throws: also
/// when the body throws, and when its task is cancelled.
///
/// Throws what the body throws, or a `TestBrokerError` when the broker cannot be started, or cannot be stopped cleanly
/// after a body that did not throw.
@discardableResult
public func withBroker<Result>(
    _ configuration: BrokerTestConfiguration = BrokerTestConfiguration(),
    isolation: isolated (any Actor)? = #isolation,
    _ body: (TestBroker) async throws -> Result
) async throws -> Result {
    let broker = try TestBroker(configuration)
    let outcome: Swift.Result<Result, any Error>
    do {
        try await broker.start()
        outcome = .success(try await body(broker))
    } catch {
        outcome = .failure(error)
    }
    do {
        try await broker.end()
    } catch {
        // What the body found is what the test is about.
        if case .success = outcome { throw error }
    }
    return try outcome.get()
}
