import KafkaProtocol

/// A fetch from a broker.
struct FetchPlan: Sendable {
    struct Entry: Sendable {
        let reference: PartitionReference
        let name: TopicPartition
        let topicId: Uuid
        let offset: Int64
        let leaderEpoch: Int32
    }

    let node: Int32
    /// Which of the connections to that broker, one after the other, it goes to.
    let connection: Int
    let session: FetchSessionState.Request
    /// Of topics whose partitions the request forgets.
    let forgottenIds: [String: Uuid]
    let usesIds: Bool
    /// All that the broker may answer about, in turn.
    let entries: [Entry]
    let maximumBytes: Int
    let maximumWait: Duration
}

/// A question about partitions to their leader.
struct OffsetQuestion: Sendable {
    struct Entry: Sendable {
        let reference: PartitionReference
        let name: TopicPartition
        let leaderEpoch: Int32
        /// What is looked for, as ListOffsets numbers it; or the epoch whose end is asked for.
        let position: OffsetPosition?
        let epoch: Int32
    }

    enum Kind: Sendable {
        case place
        case epochEnd
    }

    let node: Int32
    let kind: Kind
    let entries: [Entry]
}

/// The answer about one partition.
struct OffsetAnswer: Sendable {
    let reference: PartitionReference
    let errorCode: ErrorCode
    /// -1: none.
    let offset: Int64
    let epoch: Int32
}

/// What is to be done now, outside the lock.
struct ConsumerActions: Sendable {
    var fetches: [FetchPlan] = []
    /// Brokers to connect to, with the number of the connection.
    var connects: [(node: Int32, connection: Int)] = []
    /// Topics to ask for; nil: no need.
    var metadata: [String]?
    /// Partitions whose committed offsets are wanted.
    var committed: [(reference: PartitionReference, name: TopicPartition)] = []
    var questions: [OffsetQuestion] = []
    /// Worth a line in the log.
    var notes: [(event: String, partition: TopicPartition, detail: String)] = []
    /// When to look again, unless something happens before.
    var nextStep: ContinuousClock.Instant?
}
