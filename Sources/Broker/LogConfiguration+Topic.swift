import CommitLog
import Configuration

extension LogConfiguration {
    /// Chooses the log's own part of `segment.jitter.ms`, so that not all roll at once.
    mutating func chooseJitter(using generator: inout some RandomNumberGenerator) {
        guard segmentJitterMilliseconds > 0 else { return }
        segmentJitterMilliseconds = Int64.random(in: 0...segmentJitterMilliseconds, using: &generator)
    }

    /// From a topic's configuration.
    package init(_ topic: TopicConfiguration, isInternal: Bool, broker: BrokerConfiguration) {
        self.init()
        segmentBytes = topic.long("segment.bytes")
        segmentMilliseconds = topic.long("segment.ms")
        segmentJitterMilliseconds = min(topic.long("segment.jitter.ms"), segmentMilliseconds)
        indexIntervalBytes = topic.long("index.interval.bytes")
        indexMaximumBytes = topic.long("segment.index.bytes")
        retentionBytes = topic.long("retention.bytes")
        retentionMilliseconds = topic.long("retention.ms")
        cleanupPolicy = []
        if topic.list("cleanup.policy").contains("delete") { cleanupPolicy.insert(.delete) }
        if topic.list("cleanup.policy").contains("compact") { cleanupPolicy.insert(.compact) }
        deleteRetentionMilliseconds = topic.long("delete.retention.ms")
        minimumCompactionLagMilliseconds = topic.long("min.compaction.lag.ms")
        maximumCompactionLagMilliseconds = topic.long("max.compaction.lag.ms")
        minimumCleanableDirtyRatio = topic.double("min.cleanable.dirty.ratio")
        fileDeleteDelayMilliseconds = topic.long("file.delete.delay.ms")
        // A coordinator's records are the broker's own; what limits them are the requests that they come from.
        maximumMessageBytes = isInternal ? Int(Int32.max) : topic.int("max.message.bytes")
        timestampType = topic.string("message.timestamp.type") == "LogAppendTime" ? .logAppendTime : .createTime
        timestampBeforeMaximum = topic.long("message.timestamp.before.max.ms")
        timestampAfterMaximum = topic.long("message.timestamp.after.max.ms")
        flushMessages = topic.long("flush.messages")
        flushMilliseconds = topic.long("flush.ms")
        preallocate = topic.bool("preallocate")
        durability = topic.string("durability") == "fsync" ? .fsync : .pageCache
        producerIdExpirationMilliseconds = broker.long("producer.id.expiration.ms")
        switch topic.string("compression.type") {
        case "uncompressed": compression = .codec(.none, level: nil)
        case "gzip": compression = .codec(.gzip, level: topic.int("compression.gzip.level"))
        case "snappy": compression = .codec(.snappy, level: nil)
        case "lz4": compression = .codec(.lz4, level: topic.int("compression.lz4.level"))
        case "zstd": compression = .codec(.zstd, level: topic.int("compression.zstd.level"))
        default: compression = .producer
        }
    }
}
