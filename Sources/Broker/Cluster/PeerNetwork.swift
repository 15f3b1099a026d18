/// The way to other nodes: channels that carry requests, as bytes. The server's are connections; a simulation loses,
/// delays and cuts them.
package protocol PeerNetwork: Sendable {
    /// A channel of its own to a node. It connects when it is first used, and again when it was lost.
    func channel(to endpoint: BrokerEndpoint) -> any PeerChannel
}

package protocol PeerChannel: AnyObject, Sendable {
    /// Sends a request, a frame without its length; its correlation id is the channel's to set. The outcome comes once,
    /// on a thread of the network's.
    func send(
        _ request: [UInt8], timeoutMilliseconds: Int64,
        _ completion: @escaping @Sendable (PeerOutcome) -> Void)
    /// What is unanswered fails.
    func close()
}

package enum PeerOutcome {
    /// The reply's frame without its length, valid until the completion returns.
    case reply(UnsafeRawBufferPointer)
    case failed(PeerFailure)
}

package enum PeerFailure: Error, Sendable, CustomStringConvertible {
    /// The node cannot be reached: it has not seen the request.
    case notSent(String)
    /// No answer came, or none that can be read: the node may have done what was asked.
    case noAnswer(String)

    package var description: String {
        switch self {
        case .notSent(let reason): reason
        case .noAnswer(let reason): reason
        }
    }
}

/// For a node that has no others.
package struct NoPeers: PeerNetwork {
    package init() {}

    package func channel(to endpoint: BrokerEndpoint) -> any PeerChannel { Channel() }

    private final class Channel: PeerChannel {
        func send(
            _ request: [UInt8], timeoutMilliseconds: Int64,
            _ completion: @escaping @Sendable (PeerOutcome) -> Void
        ) {
            completion(.failed(.notSent("this node has no others")))
        }

        func close() {}
    }
}
