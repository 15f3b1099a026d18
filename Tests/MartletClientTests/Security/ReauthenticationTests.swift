import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import Testing

@testable import MartletClient

/// A connection whose client says once more who it is (KIP-368), without a broker.
@Suite struct ReauthenticationTests {
    private final class Reply: ReplyReceiver {
        private let outcome = NIOLockedValueBox<Result<ByteBuffer, ClientError>?>(nil)

        var result: Result<ByteBuffer, ClientError>? { outcome.withLockedValue { $0 } }
        var isOver: Bool { result != nil }
        func complete(_ result: Result<ByteBuffer, ClientError>) { outcome.withLockedValue { $0 = $0 ?? result } }
    }

    private let failure = NIOLockedValueBox<ClientError?>(nil)

    private func connected() throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(
            handler: ConnectionHandler(address: BrokerAddress(host: "a", port: 1), failure: failure))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    private func request(_ reply: Reply, timeout: TimeAmount = .milliseconds(30)) -> OutboundRequest {
        OutboundRequest(frame: ByteBuffer(repeating: 0, count: 16), timeout: timeout, reply: reply)
    }

    /// Nobody waits for its reply any more, but the authentication does, and all that is asked meanwhile waits for that.
    @Test func anAbandonedRequestDoesNotHoldTheOthersForEver() throws {
        let channel = try connected()
        let (abandoned, held) = (Reply(), Reply())
        channel.write(request(abandoned), promise: nil)
        abandoned.complete(.failure(ClientError(.cancelled, "cancelled")))
        let isTold = NIOLockedValueBox(false)
        channel.triggerUserOutboundEvent(Reauthentication.begin).whenFailure { _ in
            isTold.withLockedValue { $0 = true }
        }
        channel.write(request(held), promise: nil)
        // The handler compares with the clock, which an embedded loop does not move.
        Thread.sleep(forTimeInterval: 0.06)
        channel.embeddedEventLoop.advanceTime(to: .now())
        #expect(!channel.isActive)
        #expect(isTold.withLockedValue { $0 })
        guard case .failure(let error)? = held.result else {
            Issue.record("what was held is still waiting")
            return
        }
        #expect(error.code == .timedOut)
    }

    @Test func whatIsGivenUpMeanwhileIsNotSent() throws {
        let channel = try connected()
        let begun = channel.triggerUserOutboundEvent(Reauthentication.begin)
        try begun.wait()
        let (givenUp, wanted) = (Reply(), Reply())
        channel.write(request(givenUp, timeout: .seconds(30)), promise: nil)
        channel.write(request(wanted, timeout: .seconds(30)), promise: nil)
        givenUp.complete(.failure(ClientError(.cancelled, "cancelled")))
        try channel.triggerUserOutboundEvent(Reauthentication.end).wait()
        #expect(try channel.readOutbound(as: ByteBuffer.self) != nil)
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        _ = try? channel.finish()
    }
}
