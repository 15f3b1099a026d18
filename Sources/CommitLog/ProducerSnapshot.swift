import RecordFormat

/// A `.snapshot` file: the producers as they were when the log ended at the offset in the file's name. Version 1:
/// version (2 bytes), CRC-32C of what follows it (4), the number of producers (4), 46 bytes for each.
enum ProducerSnapshot {
    private static let version: Int16 = 1
    private static let checksumEnd = 6
    private static let entryLength = 46

    static func encode(_ producers: some Collection<ProducerState>) -> [UInt8] {
        var entries: [UInt8] = []
        entries.appendBigEndian(Int32(producers.count))
        for producer in producers {
            let last = producer.lastBatch
            entries.appendBigEndian(producer.producerId)
            entries.appendBigEndian(producer.producerEpoch)
            entries.appendBigEndian(producer.lastSequence)
            entries.appendBigEndian(producer.lastDataOffset ?? -1)
            entries.appendBigEndian(last?.offsetDelta ?? 0)
            entries.appendBigEndian(producer.lastTimestamp)
            entries.appendBigEndian(producer.coordinatorEpoch)
            entries.appendBigEndian(producer.transactionFirstOffset)
        }
        var bytes: [UInt8] = []
        bytes.appendBigEndian(version)
        bytes.appendBigEndian(entries.withUnsafeBytes { crc32c($0) })
        bytes.append(contentsOf: entries)
        return bytes
    }

    /// nil when the bytes are not a whole snapshot.
    static func decode(_ bytes: [UInt8]) -> [ProducerState]? {
        bytes.withUnsafeBytes { buffer in
            guard buffer.count >= checksumEnd + 4, buffer.loadBigEndian(at: 0, as: Int16.self) == version,
                buffer.loadBigEndian(at: 2, as: UInt32.self) == crc32c(buffer.slice(checksumEnd..<buffer.count))
            else { return nil }
            let count = Int(buffer.loadBigEndian(at: checksumEnd, as: Int32.self))
            guard count >= 0, buffer.count == checksumEnd + 4 + count * entryLength else { return nil }
            return (0..<count).map { index in
                let start = checksumEnd + 4 + index * entryLength
                var producer = ProducerState(producerId: buffer.loadBigEndian(at: start))
                producer.producerEpoch = buffer.loadBigEndian(at: start + 8)
                let lastOffset: Int64 = buffer.loadBigEndian(at: start + 14)
                let timestamp: Int64 = buffer.loadBigEndian(at: start + 26)
                let lastSequence: Int32 = buffer.loadBigEndian(at: start + 10)
                if lastOffset >= 0, lastSequence >= 0 {
                    producer.add(
                        ProducerBatch(
                            lastSequence: lastSequence, lastOffset: lastOffset,
                            offsetDelta: buffer.loadBigEndian(at: start + 22), timestamp: timestamp))
                } else {
                    producer.unsequencedLastOffset = lastOffset
                }
                producer.lastTimestamp = timestamp
                producer.coordinatorEpoch = buffer.loadBigEndian(at: start + 34)
                producer.transactionFirstOffset = buffer.loadBigEndian(at: start + 38)
                // The format has no place for where the last marker is. With nothing open it came after the last batch.
                if !producer.hasOpenTransaction { producer.lastMarkerOffset = lastOffset }
                return producer
            }
        }
    }
}
