import Dispatch
import Synchronization

/// From the calls that wait to those that suspend.
enum Blocking {
    /// Runs the body and waits for it, on a thread that may wait. The body has its own limits of time; should it not keep
    /// them, the wait ends a little later with the failure that leaves everything open.
    static func wait<Value: Sendable>(
        atMost limit: Duration, _ body: @escaping @Sendable () async throws(EtcdFailure) -> Value
    ) throws(EtcdFailure) -> Value {
        let result = Reply<Value>()
        let isDone = DispatchSemaphore(value: 0)
        let task = Task {
            do throws(EtcdFailure) {
                let value = try await body()
                result.value.withLock { $0 = .success(value) }
            } catch {
                result.value.withLock { $0 = .failure(error) }
            }
            isDone.signal()
        }
        let grace = limit + .seconds(2)
        let (seconds, attoseconds) = grace.components
        guard
            isDone.wait(timeout: .now() + Double(seconds) + Double(attoseconds) / 1e18) == .success,
            let result = result.value.withLock({ $0 })
        else {
            task.cancel()
            throw EtcdFailure(kind: .unknown, reason: "no answer within \(grace)")
        }
        return try result.get()
    }

    private final class Reply<Value: Sendable>: Sendable {
        let value = Mutex<Result<Value, EtcdFailure>?>(nil)
    }
}
