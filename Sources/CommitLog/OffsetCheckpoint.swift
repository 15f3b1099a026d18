/// A topic's partition, by name.
package struct PartitionName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var topic: String
    package var partition: Int32

    package init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    package var description: String { "\(topic)-\(partition)" }

    /// The partition whose directory is called `name`.
    package init?(directoryName name: String) {
        guard let dash = name.lastIndex(of: "-"), dash != name.startIndex,
            let partition = Int32(name[name.index(after: dash)...]), partition >= 0
        else { return nil }
        self.init(topic: String(name[..<dash]), partition: partition)
    }

    package static func < (a: Self, b: Self) -> Bool {
        (a.topic, a.partition) < (b.topic, b.partition)
    }
}

/// A file with one offset for each partition of a data directory.
package struct OffsetCheckpoint: Sendable {
    package enum Name: String, CaseIterable, Sendable {
        case recoveryPoint = "recovery-point-offset-checkpoint"
        case highWatermark = "replication-offset-checkpoint"
        case logStart = "log-start-offset-checkpoint"
        case cleaner = "cleaner-offset-checkpoint"
    }

    package static func encode(_ offsets: [PartitionName: Int64]) -> [UInt8] {
        CheckpointText.encode(
            offsets.sorted { $0.key < $1.key }.map { "\($0.key.topic) \($0.key.partition) \($0.value)" })
    }

    /// nil when the bytes are not such a checkpoint.
    package static func decode(_ bytes: [UInt8]) -> [PartitionName: Int64]? {
        guard let lines = CheckpointText.decode(bytes) else { return nil }
        var offsets: [PartitionName: Int64] = [:]
        for line in lines {
            let parts = line.split(separator: " ")
            guard parts.count == 3, let partition = Int32(parts[1]), let offset = Int64(parts[2]), partition >= 0,
                offset >= 0
            else { return nil }
            offsets[PartitionName(topic: String(parts[0]), partition: partition)] = offset
        }
        return offsets
    }
}
