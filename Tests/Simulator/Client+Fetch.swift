import HistoryChecker
import KafkaProtocol
import RecordFormat

/// What a leader gave of a partition.
struct Fetched {
    var records: [(offset: Int64, value: Int64)] = []
    var next: Int64
    var highWatermark: Int64
    var lastStableOffset: Int64
}

extension Client {
    /// nil when nothing came of it.
    func fetch(
        _ partition: TopicPartition, from offset: Int64, _ isolation: IsolationLevel,
        _ completion: @escaping (Fetched?) -> Void
    ) {
        findLeader(of: partition) { [self] leader in
            guard let leader else { return completion(nil) }
            var request = FetchRequest()
            request.maxWaitMs = 400
            request.minBytes = 1
            request.maxBytes = 1 << 20
            request.isolationLevel = isolation == .readCommitted ? 1 : 0
            request.topics = [FetchRequest.FetchTopic()]
            request.topics[0].topic = partition.topic
            request.topics[0].partitions = [FetchRequest.FetchPartition()]
            request.topics[0].partitions[0].partition = partition.partition
            request.topics[0].partitions[0].fetchOffset = offset
            request.topics[0].partitions[0].partitionMaxBytes = 1 << 14
            ask(leader, request, 12) { [self] response in
                guard let data = response?.responses.first?.partitions.first, data.errorCode == 0 else {
                    forgetLeader(of: partition)
                    if let code = response?.responses.first?.partitions.first?.errorCode,
                        ErrorCode(rawValue: code) == .offsetOutOfRange, world.invariants.isLeader(leader, of: partition)
                    {
                        world.invariants.outOfRange(partition, offset, by: name)
                    }
                    return completion(nil)
                }
                completion(take(data, partition, from: offset, isolation))
            }
        }
    }

    private func take(
        _ data: FetchResponse.PartitionData, _ partition: TopicPartition, from offset: Int64,
        _ isolation: IsolationLevel
    ) -> Fetched {
        var fetched = Fetched(
            next: offset, highWatermark: data.highWatermark, lastStableOffset: data.lastStableOffset)
        world.invariants.shown(partition, data.highWatermark)
        var aborted = (data.abortedTransactions ?? []).sorted { $0.firstOffset < $1.firstOffset }
        var abortedNow: Set<Int64> = []
        do {
            try (data.records ?? []).withUnsafeBytes { memory in
                let reader = RecordBatchReader()
                var position = 0
                while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: memory[position...])),
                    header.totalLength <= memory.count - position
                {
                    let batch = UnsafeRawBufferPointer(rebasing: memory[position..<position + header.totalLength])
                    position += header.totalLength
                    _ = try RecordBatchHeader.verified(batch)
                    fetched.next = header.nextOffset
                    while let first = aborted.first, first.firstOffset <= header.lastOffset {
                        abortedNow.insert(first.producerId)
                        aborted.removeFirst()
                    }
                    if header.isControl {
                        if try EndTransactionMarker(batch: batch)?.outcome == .abort {
                            abortedNow.remove(header.producerId)
                        }
                        continue
                    }
                    if isolation == .readCommitted, header.isTransactional, abortedNow.contains(header.producerId) {
                        continue
                    }
                    for record in try reader.records(of: batch) where record.offset >= offset {
                        guard let value = Int64(String(decoding: record.value ?? [], as: UTF8.self)) else { continue }
                        fetched.records.append((record.offset, value))
                    }
                }
            }
        } catch {
            world.fail("\(name) cannot read what it fetched of \(partition) from \(offset): \(error)")
        }
        let limit = isolation == .readCommitted ? data.lastStableOffset : data.highWatermark
        if fetched.next > limit, fetched.next > offset {
            world.fail("\(name) was given \(partition) up to \(fetched.next), beyond \(limit)")
        }
        return fetched
    }
}
