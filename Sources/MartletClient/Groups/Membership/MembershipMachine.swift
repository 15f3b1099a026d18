import KafkaProtocol

/// A membership's decisions, without clock, network or chance: events and the time go in, actions come out.
///
/// At most one call of the delegate is under way, and none is made before `delegateReturned`. Replies carry the number of
/// their request; those that nobody waits for any more are passed over.
package protocol MembershipMachine: Sendable {
    typealias Instant = ContinuousClock.Instant

    mutating func handle(_ event: MembershipEvent, at now: Instant) -> [MembershipAction]
    /// When to call again with `timeReached` if nothing else happens before; nil for never.
    var deadline: Instant? { get }
    /// Who the member is to the coordinator now.
    var identity: MemberIdentity { get }
    /// The group has, or will have, another generation than `identity` says, of which the member is one too.
    var isBetweenGenerations: Bool { get }
}

package struct MemberIdentity: Sendable, Equatable {
    /// Empty as long as the coordinator has not given one.
    package var memberId = ""
    /// The generation or the member's epoch; -1 for none.
    package var epoch: Int32 = -1
}

package enum MembershipEvent: Sendable {
    case subscribed(TopicSubscription)
    case timeReached
    case replied(Int, Result<GroupReply, ClientError>)
    case toldTopics(Int, Result<TopicsAnswer, ClientError>)
    case delegateReturned
    /// A commit of `identity` was refused.
    case commitRefused(ErrorCode, MemberIdentity)
    /// The application has not asked for records for too long.
    case pollTimedOut
    /// It asks again.
    case polled
    case rebalanceWanted
    case leave
}

package enum MembershipAction: Sendable {
    case send(Int, GroupRequest)
    case askForTopics(Int, TopicsQuestion)
    case revoke([TopicPartition], lost: Bool)
    case assign([TopicPartition], all: [TopicPartition])
    /// The last call of the delegate. It does not return an event.
    case fail(ClientError)
    /// The member is out, after `pollTimedOut` or `leave`.
    case left
}

package enum GroupRequest: Sendable, Equatable {
    case join(JoinGroupRequest)
    case sync(SyncGroupRequest)
    case heartbeat(HeartbeatRequest)
    case leave(LeaveGroupRequest)
    /// The member's id was made here, and brokers that know version 0 alone make their own.
    case consumerHeartbeat(ConsumerGroupHeartbeatRequest, hasOwnId: Bool)
}

package enum GroupReply: Sendable, Equatable {
    case join(JoinGroupResponse)
    case sync(SyncGroupResponse)
    case heartbeat(HeartbeatResponse)
    case leave(LeaveGroupResponse)
    case consumerHeartbeat(ConsumerGroupHeartbeatResponse)

    package var code: ErrorCode {
        switch self {
        case .join(let reply): ErrorCode(rawValue: reply.errorCode)
        case .sync(let reply): ErrorCode(rawValue: reply.errorCode)
        case .heartbeat(let reply): ErrorCode(rawValue: reply.errorCode)
        case .leave(let reply): ErrorCode(rawValue: reply.errorCode)
        case .consumerHeartbeat(let reply): ErrorCode(rawValue: reply.errorCode)
        }
    }
}

/// Which topics there are.
package struct TopicsQuestion: Sendable, Equatable {
    package var names: Set<String> = []
    package var pattern: String?
    package var ids: Set<Uuid> = []
    /// Whether the broker may match the pattern itself (KIP-848), so that nobody else has to.
    package var brokerMayMatch = false
}

package struct TopicsAnswer: Sendable, Equatable {
    package struct Topic: Sendable, Equatable {
        package var id: Uuid
        package var partitionCount: Int

        package init(id: Uuid, partitionCount: Int) {
            self.id = id
            self.partitionCount = partitionCount
        }
    }

    /// By name, those that exist.
    package var topics: [String: Topic] = [:]
    /// What the pattern matches; nil when the broker matches it itself.
    package var matched: Set<String>?

    package init(topics: [String: Topic] = [:], matched: Set<String>? = nil) {
        self.topics = topics
        self.matched = matched
    }
}

/// Growing pauses between attempts.
struct AttemptPauses: Sendable {
    private let backoff: Backoff
    private var generator: SplitMixGenerator
    private var attempts = 0

    init(backoff: Backoff, seed: UInt64) {
        self.backoff = backoff
        generator = SplitMixGenerator(state: seed)
    }

    mutating func next() -> Duration {
        attempts += 1
        return backoff.delay(after: attempts, using: &generator)
    }

    mutating func reset() {
        attempts = 0
    }
}
