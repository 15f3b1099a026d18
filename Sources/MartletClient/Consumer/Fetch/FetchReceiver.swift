import NIOCore

/// A Fetch request whose reply is awaited. It belongs to the connection's event loop.
final class FetchReceiver: ReplyReceiver, @unchecked Sendable {
    private let plan: FetchPlan
    private let version: Int16
    private let driver: ConsumerDriver
    private let sent: ContinuousClock.Instant
    private(set) var isOver = false

    init(plan: FetchPlan, version: Int16, driver: ConsumerDriver, sent: ContinuousClock.Instant) {
        self.plan = plan
        self.version = version
        self.driver = driver
        self.sent = sent
    }

    func complete(_ result: Result<ByteBuffer, ClientError>) {
        guard !isOver else { return }
        isOver = true
        do throws(ClientError) {
            driver.didReceive(
                .success(try FetchReply(frame: FetchedFrame.fitted(try result.get()), version: version)), for: plan,
                sent: sent)
        } catch {
            driver.didReceive(.failure(error), for: plan, sent: sent)
        }
    }
}
