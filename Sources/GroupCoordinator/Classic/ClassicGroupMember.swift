import CoordinatorCore
import KafkaProtocol

/// A JoinGroup or SyncGroup request that waits for the rest of the group.
struct ParkedRequest: Sendable, Equatable {
    let token: RequestToken
    let apiVersion: Int16
}

/// A member of a classic group.
struct ClassicGroupMember: Sendable, Equatable {
    typealias SupportedProtocol = JoinGroupRequest.JoinGroupRequestProtocol

    var memberId: String
    var groupInstanceId: String?
    var clientId: String
    var clientHost: String
    var sessionTimeoutMs: Int32
    var rebalanceTimeoutMs: Int32
    /// In the member's order of preference.
    var supportedProtocols: [SupportedProtocol]
    var assignment: [UInt8] = []

    var awaitingJoin: ParkedRequest?
    var awaitingSync: ParkedRequest?
    /// Whether the member was never told its id: it cannot heartbeat, so waiting does not keep it alive.
    var isNew = false

    var isStatic: Bool { groupInstanceId != nil }

    /// Whether silence is excused: a member that waits in a rebalance has nothing to say.
    var hasSatisfiedHeartbeat: Bool { !isNew && (awaitingJoin != nil || awaitingSync != nil) }

    func metadata(for protocolName: String) -> [UInt8]? {
        supportedProtocols.first { $0.name == protocolName }?.metadata
    }
}
