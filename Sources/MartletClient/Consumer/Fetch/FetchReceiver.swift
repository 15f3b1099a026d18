import NIOCore

/// A Fetch request whose reply is awaited. It belongs to the connection's event loop.
final class FetchReceiver: ReplyReceiver, @unchecked Sendable {
    private let plan: FetchPlan
    private let version: Int16
    private let driver: ConsumerDriver
    private(set) var isOver = false

    init(plan: FetchPlan, version: Int16, driver: ConsumerDriver) {
        self.plan = plan
        self.version = version
        self.driver = driver
    }

    func complete(_ result: Result<ByteBuffer, ClientError>) {
        guard !isOver else { return }
        isOver = true
        do throws(ClientError) {
            driver.didReceive(.success(try FetchReply(frame: try result.get(), version: version)), for: plan)
        } catch {
            driver.didReceive(.failure(error), for: plan)
        }
    }
}
