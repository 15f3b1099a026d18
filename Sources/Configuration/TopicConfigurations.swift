/// The configurations of a topic, with Kafka's names and defaults.
package enum TopicConfigurations {
    package static let all: [ConfigurationDefinition] = [
        topic(
            "cleanup.policy", .list(of: ["compact", "delete"]), default: "delete", broker: "log.cleanup.policy",
            "delete: drop old segments; compact: keep the last record of each key; both: compact, then drop."),
        topic(
            "compression.type", .choice(["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
            default: "producer", broker: "compression.type",
            "The codec batches are stored with; producer keeps what the producer chose."),
        topic(
            "compression.gzip.level", .int(-1...9), default: "-1", broker: "compression.gzip.level",
            "Level for compression.type=gzip: 1 to 9, or -1 for the library's default."),
        topic(
            "compression.lz4.level", .int(1...17), default: "9", broker: "compression.lz4.level",
            "Level for compression.type=lz4."),
        topic(
            "compression.zstd.level", .int(-131_072...22), default: "3", broker: "compression.zstd.level",
            "Level for compression.type=zstd."),
        topic(
            "delete.retention.ms", .naturalLong, default: "86400000", broker: "log.cleaner.delete.retention.ms",
            "How long compaction keeps a tombstone, so that readers still see the deletion."),
        topic(
            "durability", .choice(["fsync", "page-cache"]), default: "fsync", broker: "log.durability",
            departure: "Martlet's own: acks=all means on stable storage. page-cache is Kafka's habit.",
            "fsync: acknowledged with acks=all means on stable storage. page-cache: the kernel writes when it likes."),
        topic(
            "file.delete.delay.ms", .naturalLong, default: "60000", broker: "log.segment.delete.delay.ms",
            "How long the files of a removed segment stay, for readers that still send them."),
        topic(
            "flush.messages", .positiveLong, default: "9223372036854775807", broker: "log.flush.interval.messages",
            "Force a sync after so many records, in addition to what durability demands."),
        topic(
            "flush.ms", .naturalLong, default: "9223372036854775807", broker: "log.flush.interval.ms",
            "Force a sync after so long, in addition to what durability demands."),
        topic(
            "follower.replication.throttled.replicas", .list(of: []), default: "",
            "Replicas whose follower side is throttled: partition:broker,… or *."),
        topic(
            "index.interval.bytes", .naturalInt, default: "4096", broker: "log.index.interval.bytes",
            "Bytes of log between two entries of the offset index."),
        topic(
            "leader.replication.throttled.replicas", .list(of: []), default: "",
            "Replicas whose leader side is throttled: partition:broker,… or *."),
        topic(
            "max.compaction.lag.ms", .positiveLong, default: "9223372036854775807",
            broker: "log.cleaner.max.compaction.lag.ms", "The longest a record may wait for compaction."),
        topic(
            "max.message.bytes", .naturalInt, default: "1048588", broker: "message.max.bytes",
            "The largest batch accepted, as stored."),
        topic(
            "message.timestamp.after.max.ms", .naturalLong, default: "9223372036854775807",
            broker: "log.message.timestamp.after.max.ms", "How far ahead of the broker's clock a timestamp may be."),
        topic(
            "message.timestamp.before.max.ms", .naturalLong, default: "9223372036854775807",
            broker: "log.message.timestamp.before.max.ms", "How far behind the broker's clock a timestamp may be."),
        topic(
            "message.timestamp.type", .choice(["CreateTime", "LogAppendTime"]), default: "CreateTime",
            broker: "log.message.timestamp.type", "Whose clock stamps the records: the producer's or the broker's."),
        topic(
            "min.cleanable.dirty.ratio", .double(0...1), default: "0.5", broker: "log.cleaner.min.cleanable.ratio",
            "The share of uncompacted bytes from which a log is compacted."),
        topic(
            "min.compaction.lag.ms", .naturalLong, default: "0", broker: "log.cleaner.min.compaction.lag.ms",
            "The shortest a record stays as it was written."),
        topic(
            "min.insync.replicas", .positiveInt, default: "1", broker: "min.insync.replicas",
            "In-sync replicas that acks=all needs."),
        topic(
            "preallocate", .boolean, default: "false", broker: "log.preallocate",
            "Reserve a segment's whole size on disk when it is made."),
        topic(
            "retention.bytes", .long(-1...Int64.max), default: "-1", broker: "log.retention.bytes",
            "Bytes kept in a partition before old segments are dropped; -1 for no limit."),
        topic(
            "retention.ms", .long(-1...Int64.max), default: "604800000", broker: "log.retention.ms",
            "How long records are kept; -1 for ever."),
        topic(
            "segment.bytes", .int(14...Int64(Int32.max)), default: "1073741824", broker: "log.segment.bytes",
            "Size at which a new segment is begun."),
        topic(
            "segment.index.bytes", .int(4...Int64(Int32.max)), default: "10485760", broker: "log.index.size.max.bytes",
            "Size of an index file at which a new segment is begun."),
        topic(
            "segment.jitter.ms", .naturalLong, default: "0", broker: "log.roll.jitter.ms",
            "Random part of segment.ms, so that segments do not all roll at once."),
        topic(
            "segment.ms", .positiveLong, default: "604800000", broker: "log.roll.ms",
            "Age at which a new segment is begun."),
        topic(
            "unclean.leader.election.enable", .boolean, default: "false", broker: "unclean.leader.election.enable",
            "Let a replica lead that may miss acknowledged records, rather than wait."),
        withoutEffect("local.retention.bytes", .anyLong, "-2", "there is no tiered storage"),
        withoutEffect("local.retention.ms", .anyLong, "-2", "there is no tiered storage"),
        withoutEffect("message.downconversion.enable", .boolean, "true", "only record batch v2 is stored and served"),
        withoutEffect("message.format.version", .string, "3.0-IV1", "only record batch v2 is stored and served"),
        withoutEffect(
            "message.timestamp.difference.max.ms", .naturalLong, "9223372036854775807",
            "replaced by message.timestamp.before.max.ms and message.timestamp.after.max.ms"),
        withoutEffect("remote.storage.enable", .choice(["false"]), "false", "there is no tiered storage"),
    ]

    package static let byName: [String: ConfigurationDefinition] = Dictionary(
        uniqueKeysWithValues: all.map { ($0.name, $0) })

    private static func topic(
        _ name: String, _ type: ConfigurationType, default defaultValue: String, broker: String? = nil,
        departure: String? = nil, _ summary: String
    ) -> ConfigurationDefinition {
        ConfigurationDefinition(
            name, .topic, type, default: defaultValue, update: .atRunTime, brokerName: broker, departure: departure,
            summary)
    }

    private static func withoutEffect(
        _ name: String, _ type: ConfigurationType, _ defaultValue: String, _ reason: String
    ) -> ConfigurationDefinition {
        ConfigurationDefinition(
            name, .topic, type, default: defaultValue, update: .atRunTime, withoutEffect: reason,
            "Accepted and kept for Kafka's tools; no effect: \(reason).")
    }
}
