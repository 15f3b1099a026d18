import KafkaProtocol

/// A membership's decisions, without clock, network or chance: events and the time go in, actions come out.
///
/// At most one call of the delegate is under way, and none is made before `delegateReturned`. Replies carry the number of
/// their request; those that nobody waits for any more are passed over.
protocol MembershipMachine: Sendable {
    typealias Instant = ContinuousClock.Instant

    mutating func handle(_ event: MembershipEvent, at now: Instant) -> [MembershipAction]
    /// When to call again with `timeReached` if nothing else happens before; nil for never.
    var deadline: Instant? { get }
    /// Who the member is to the coordinator now.
    var identity: MemberIdentity { get }
    /// The group has, or will have, another generation than `identity` says, of which the member is one too.
    var isBetweenGenerations: Bool { get }
}

struct MemberIdentity: Sendable, Equatable {
    /// Empty as long as the coordinator has not given one.
    var memberId = ""
    /// The generation or the member's epoch; -1 for none.
    var epoch: Int32 = -1
}

enum MembershipEvent: Sendable {
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

enum MembershipAction: Sendable {
    case send(Int, GroupRequest)
    case askForTopics(Int, TopicsQuestion)
    case revoke([TopicPartition], lost: Bool)
    case assign([TopicPartition], all: [TopicPartition])
    /// The last call of the delegate. It does not return an event.
    case fail(ClientError)
    /// The member is out, after `pollTimedOut` or `leave`.
    case left
}

enum GroupRequest: Sendable, Equatable {
    case join(JoinGroupRequest)
    case sync(SyncGroupRequest)
    case heartbeat(HeartbeatRequest)
    case leave(LeaveGroupRequest)
    /// The member's id was made here, and brokers that know version 0 alone make their own.
    case consumerHeartbeat(ConsumerGroupHeartbeatRequest, hasOwnId: Bool)
}

enum GroupReply: Sendable, Equatable {
    case join(JoinGroupResponse)
    case sync(SyncGroupResponse)
    case heartbeat(HeartbeatResponse)
    case leave(LeaveGroupResponse)
    case consumerHeartbeat(ConsumerGroupHeartbeatResponse)

    var code: ErrorCode {
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
struct TopicsQuestion: Sendable, Equatable {
    var names: Set<String> = []
    var pattern: String?
    var ids: Set<Uuid> = []
    /// Whether the broker may match the pattern itself (KIP-848), so that nobody else has to.
    var brokerMayMatch = false
}

struct TopicsAnswer: Sendable, Equatable {
    struct Topic: Sendable, Equatable {
        var id: Uuid
        var partitionCount: Int
    }

    /// By name, those that exist.
    var topics: [String: Topic] = [:]
    /// What the pattern matches; nil when the broker matches it itself.
    var matched: Set<String>?
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
