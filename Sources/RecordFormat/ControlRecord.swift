/// The marker that ends a producer's transaction in a partition: the one record of a control batch.
package struct EndTransactionMarker: Equatable, Sendable {
    package enum Outcome: Int16, Sendable {
        case abort = 0
        case commit = 1
    }

    package var outcome: Outcome
    /// The epoch of the transaction coordinator that wrote it.
    package var coordinatorEpoch: Int32

    package init(outcome: Outcome, coordinatorEpoch: Int32) {
        self.outcome = outcome
        self.coordinatorEpoch = coordinatorEpoch
    }

    /// The control batch with this marker.
    package func batch(
        producerId: Int64, producerEpoch: Int16, timestamp: Int64, baseOffset: Int64 = 0,
        partitionLeaderEpoch: Int32 = -1
    ) -> [UInt8] {
        var builder = RecordBatchBuilder(
            attributes: [.transactional, .control], baseOffset: baseOffset,
            partitionLeaderEpoch: partitionLeaderEpoch, producerId: producerId, producerEpoch: producerEpoch)
        var key: [UInt8] = []
        key.appendBigEndian(Int16(0))
        key.appendBigEndian(outcome.rawValue)
        var value: [UInt8] = []
        value.appendBigEndian(Int16(0))
        value.appendBigEndian(coordinatorEpoch)
        builder.append(key: key, value: value, timestamp: timestamp)
        do {
            return try builder.build()
        } catch {
            preconditionFailure("an uncompressed batch cannot fail to build: \(error)")
        }
    }

    /// The marker in the control batch `batch`; nil for control records of other types, which say nothing about
    /// transactions, and for a batch that compaction emptied.
    package init?(batch: UnsafeRawBufferPointer) throws(RecordFormatError) {
        guard let header = RecordBatchHeader(batch) else { throw .truncated }
        if header.isControl, header.recordCount == 0 { return nil }
        guard header.isControl, header.attributes.codecIdentifier == 0, header.totalLength <= batch.count,
            header.totalLength > RecordBatchHeader.byteCount
        else { throw .invalidControlRecord }
        var cursor = ByteCursor(batch.slice(RecordBatchHeader.byteCount..<header.totalLength))
        _ = try cursor.varint()
        _ = try cursor.byte()
        _ = try cursor.varlong()
        _ = try cursor.varint()
        guard let key = try cursor.nullableBytes(), key.count >= 4 else { throw .invalidControlRecord }
        let value = try cursor.nullableBytes()
        guard key.loadBigEndian(at: 0, as: Int16.self) >= 0 else { throw .invalidControlRecord }
        guard let outcome = Outcome(rawValue: key.loadBigEndian(at: 2)) else { return nil }
        guard let value, value.count >= 6, value.loadBigEndian(at: 0, as: Int16.self) >= 0 else {
            throw .invalidControlRecord
        }
        self.init(outcome: outcome, coordinatorEpoch: value.loadBigEndian(at: 2))
    }
}
