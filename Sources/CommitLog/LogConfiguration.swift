import RecordFormat

/// What a topic's configuration says about its logs. Times in milliseconds, sizes in bytes, -1 for no limit.
package struct LogConfiguration: Equatable, Sendable {
    package struct CleanupPolicy: OptionSet, Sendable {
        package var rawValue: UInt8

        package init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        package static let delete = Self(rawValue: 1)
        package static let compact = Self(rawValue: 2)
    }

    package enum Durability: Sendable {
        /// An acknowledged record is on stable storage.
        case fsync
        /// An acknowledged record is in the page cache.
        case pageCache
    }

    package var segmentBytes: Int64 = 1 << 30
    package var segmentMilliseconds: Int64 = 604_800_000
    package var segmentJitterMilliseconds: Int64 = 0
    package var indexIntervalBytes: Int64 = 4096
    package var indexMaximumBytes: Int64 = 10 << 20
    package var retentionBytes: Int64 = -1
    package var retentionMilliseconds: Int64 = 604_800_000
    package var cleanupPolicy: CleanupPolicy = .delete
    package var deleteRetentionMilliseconds: Int64 = 86_400_000
    package var minimumCompactionLagMilliseconds: Int64 = 0
    package var maximumCompactionLagMilliseconds: Int64 = .max
    package var minimumCleanableDirtyRatio = 0.5
    package var fileDeleteDelayMilliseconds: Int64 = 60_000
    package var maximumMessageBytes: Int = 1_048_588
    package var timestampType: TimestampType = .createTime
    package var compression: RecordBatchRules.Compression = .producer
    package var timestampBeforeMaximum: Int64 = .max
    package var timestampAfterMaximum: Int64 = 3_600_000
    package var flushMessages: Int64 = .max
    package var flushMilliseconds: Int64 = .max
    package var preallocate = false
    package var durability: Durability = .fsync
    package var producerIdExpirationMilliseconds: Int64 = 86_400_000
    /// How much is reserved at once at the end of the active segment; 0 for none.
    package var preallocationChunkBytes: Int64 = 4 << 20

    package init() {}

    /// What the topic demands of clients' batches.
    package var recordBatchRules: RecordBatchRules {
        RecordBatchRules(
            compression: compression, timestampType: timestampType,
            timestampBeforeMaximum: timestampBeforeMaximum, timestampAfterMaximum: timestampAfterMaximum,
            isCompacted: cleanupPolicy.contains(.compact))
    }
}
