/// The broker settings that groups and offsets obey. Names and defaults are Kafka's; times are in milliseconds unless
/// the name says otherwise.
package struct GroupConfiguration: Sendable, Equatable {
    /// `group.min.session.timeout.ms`: classic members that ask for less are refused.
    package var groupMinSessionTimeoutMs: Int32 = 6_000
    /// `group.max.session.timeout.ms`: classic members that ask for more are refused.
    package var groupMaxSessionTimeoutMs: Int32 = 1_800_000
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty classic group waits for company.
    package var groupInitialRebalanceDelayMs: Int32 = 3_000
    /// `group.max.size`: members of one classic group.
    package var groupMaxSize: Int32 = .max

    /// `group.consumer.session.timeout.ms`
    package var groupConsumerSessionTimeoutMs: Int32 = 45_000
    /// `group.consumer.heartbeat.interval.ms`: what consumer group members are told to keep.
    package var groupConsumerHeartbeatIntervalMs: Int32 = 5_000
    /// `group.consumer.max.size`: members of one consumer group.
    package var groupConsumerMaxSize: Int32 = .max
    /// `group.consumer.assignors`: the first is the default.
    package var groupConsumerAssignors: [ServerAssignor] = [.uniform, .range]

    /// `offset.metadata.max.bytes`: Kafka counts UTF-16 units, so this does.
    package var offsetMetadataMaxBytes: Int32 = 4_096
    /// `offsets.retention.minutes`: how long the offsets of a group without members, or of a topic that the group no
    /// longer reads, are kept.
    package var offsetsRetentionMinutes: Int32 = 10_080
    /// `offsets.retention.check.interval.ms`
    package var offsetsRetentionCheckIntervalMs: Int64 = 600_000

    /// `producer.id.expiration.ms`: how long the log remembers a silent producer. One that committed offsets in
    /// transactions is remembered here for twice that.
    package var producerIdExpirationMs: Int64 = 86_400_000

    /// How long a classic member that was never answered may stay in a rebalance. It cannot heartbeat, because it does
    /// not know its member id yet; a client that gave up would otherwise hold the group back for ever.
    package var newMemberJoinTimeoutMs: Int32 = 300_000

    package init() {}

    var offsetsRetentionMs: Int64 { Int64(offsetsRetentionMinutes) * 60_000 }
}

/// Bounds that are not configuration. Identifiers end up in the old string form of the log's keys, which has a 16-bit
/// length.
enum GroupLimits {
    static let identifierBytes = 16_384
    /// The records of one commit, as a batch must fit into Kafka's default `max.message.bytes`; one that does not is
    /// refused before it can fail in the log.
    static let commitBytes = 1_000_000
    /// The longest string of the log's old form.
    static let stringBytes = 32_767
    /// A client id is put before each member id.
    static let memberIdPrefixCharacters = 1_024
    /// How often at most a group that waits for absent members looks again.
    static let minimumRetryDelayMs: Int64 = 1_000

    /// Producers of transactions in a shard, not counting those with an open one.
    static let rememberedProducers = 100_000

    static func accepts(identifier: String) -> Bool { identifier.utf8.count <= identifierBytes }
}
