import CommitLog
import CoordinatorCore
import KafkaProtocol
import RecordFormat
import Replication

/// A partition of a coordinator's topic, read from its beginning to its end.
struct CoordinatorLog {
    private static let readBytes = 1 << 20
    private let log: Log

    init(_ log: Log) {
        self.log = log
    }

    func replay(into machine: inout some CoordinatorStateMachine) throws {
        let reader = RecordBatchReader()
        var offset = log.startOffset
        let end = log.endOffset
        var buffer = [UInt8]()
        while offset < end {
            let slice = try log.read(from: offset, maxBytes: Self.readBytes, minOneBatch: true, upTo: end)
            guard slice.length > 0 else { return }
            if buffer.count < slice.length { buffer = [UInt8](repeating: 0, count: slice.length) }
            try buffer.withUnsafeMutableBytes { memory in
                let count = try log.copy(slice, into: memory)
                var position = 0
                while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: memory[position..<count])),
                    header.totalLength >= RecordBatchHeader.byteCount, header.totalLength <= count - position
                {
                    let batch = UnsafeRawBufferPointer(rebasing: memory[position..<position + header.totalLength])
                    try replay(batch, header, reader, into: &machine)
                    offset = header.nextOffset
                    position += header.totalLength
                }
            }
        }
    }

    private func replay(
        _ batch: UnsafeRawBufferPointer, _ header: RecordBatchHeader, _ reader: RecordBatchReader,
        into machine: inout some CoordinatorStateMachine
    ) throws {
        if header.isControl {
            guard let marker = try EndTransactionMarker(batch: batch) else { return }
            machine.replay(
                TransactionEnd(
                    producerId: header.producerId, producerEpoch: header.producerEpoch,
                    isCommit: marker.outcome == .commit, coordinatorEpoch: marker.coordinatorEpoch))
            return
        }
        let producer =
            header.isTransactional
            ? TransactionalProducer(id: header.producerId, epoch: header.producerEpoch) : nil
        for record in try reader.records(of: batch) {
            if let key = record.key { try machine.replay(key: key, value: record.value, by: producer) }
        }
    }
}

extension PartitionLeader {
    /// Appends what a coordinator has to say.
    func append(_ batch: CoordinatorBatch, now: Int64) -> AppendOutcome {
        batch.encoded(now: now).withUnsafeBytes { bytes in
            var appends = [
                PendingAppend(header: RecordBatchHeader(bytes)!, bytes: bytes, permission: batch.permission)
            ]
            append(&appends, now: now)
            return appends[0].outcome
        }
    }
}

extension CoordinatorBatch {
    var recordCount: Int {
        switch self {
        case .records(let records), .transactional(let records, _): records.count
        case .endOfTransaction: 1
        }
    }

    /// As a record batch. A coordinator's batches carry no sequence numbers: it is the partition's only writer.
    func encoded(now: Int64) -> [UInt8] {
        var builder: RecordBatchBuilder
        let records: [CoordinatorRecord]
        switch self {
        case .endOfTransaction(let end):
            return EndTransactionMarker(
                outcome: end.isCommit ? .commit : .abort, coordinatorEpoch: end.coordinatorEpoch
            ).batch(producerId: end.producerId, producerEpoch: end.producerEpoch, timestamp: now)
        case .records(let plain):
            records = plain
            builder = RecordBatchBuilder()
        case .transactional(let pending, let producer):
            records = pending
            builder = RecordBatchBuilder(
                attributes: .transactional, producerId: producer.id, producerEpoch: producer.epoch)
        }
        for record in records { builder.append(key: record.key, value: record.value, timestamp: now) }
        do {
            return try builder.build()
        } catch {
            preconditionFailure("an uncompressed batch cannot fail to compress: \(error)")
        }
    }

    /// What the log may take for granted of it.
    var permission: AppendPermission {
        switch self {
        case .records, .transactional: .coordinator
        case .endOfTransaction(let end): .marker(transactionVersion: end.transactionVersion)
        }
    }
}
