import Synchronization

/// A record for which there was no room, and what became of it.
final class WaitingRecord: Sendable {
    private let record: ProducerRecord
    private let timestamp: Int64
    private let transaction: Int?
    private let result = Mutex<Result<Delivery, ClientError>?>(nil)

    init(_ record: ProducerRecord, timestamp: Int64, transaction: Int?) {
        self.record = record
        self.timestamp = timestamp
        self.transaction = transaction
    }

    /// nil when it still had no room.
    var outcome: Result<Delivery, ClientError>? { result.withLock { $0 } }

    /// False when there is still no room.
    func append(to core: inout ProducerCore) -> Bool {
        let outcome: Result<Delivery, ClientError>
        do throws(ClientError) {
            let appended = try record.key.withBytes { (key) throws(ClientError) in
                try record.value.withBytes { (value) throws(ClientError) in
                    try core.append(
                        topic: record.topic, partition: record.partition,
                        record: RecordFields(key: key, value: value, headers: record.headers, timestamp: timestamp),
                        transaction: transaction, clock: { ContinuousClock.now })
                }
            }
            outcome = .success(
                Delivery(completion: appended.completion, index: appended.index, timestamp: timestamp))
        } catch {
            if error.code == .bufferFull { return false }
            outcome = .failure(error)
        }
        result.withLock { $0 = outcome }
        return true
    }
}
