import HistoryChecker
import KafkaProtocol
import RecordFormat

/// Reads partitions as a consumer at one isolation level does.
final class Reader: Client {
    private let isolation: IsolationLevel
    private let partitions: [TopicPartition]

    init(_ world: World, _ number: Int, _ partitions: [TopicPartition], _ isolation: IsolationLevel) {
        self.partitions = partitions
        self.isolation = isolation
        super.init(world, "reader-\(number)", number)
    }

    func start() {
        for partition in partitions {
            world.history.record("\(name)-\(partition)", .position(.set(partition, offset: 0)))
            go(on: partition, from: 0)
        }
    }

    struct Fetched {
        var records: [(offset: Int64, value: Int64)] = []
        var next: Int64
        var highWatermark: Int64
        var lastStableOffset: Int64
    }

    private func go(on partition: TopicPartition, from offset: Int64) {
        guard !isStopping else { return }
        fetch(partition, from: offset) { [self] fetched in
            if let fetched, !fetched.records.isEmpty {
                world.count("read", fetched.records.count)
                world.history.record(
                    "\(name)-\(partition)",
                    .poll(
                        Poll(
                            isolation,
                            fetched.records.map {
                                HistoryChecker.Record(partition, offset: $0.offset, value: .number($0.value))
                            })))
            }
            let next = fetched?.next ?? offset
            timeline.after(fetched == nil ? timeline.between(50, 300) : timeline.between(0, 50), "consume") { [self] in
                go(on: partition, from: next)
            }
        }
    }

    /// nil when nothing came of it.
    func fetch(_ partition: TopicPartition, from offset: Int64, _ completion: @escaping (Fetched?) -> Void) {
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
                completion(take(data, partition, from: offset))
            }
        }
    }

    private func take(
        _ data: FetchResponse.PartitionData, _ partition: TopicPartition, from offset: Int64
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

    // MARK: The end

    /// Reads the partitions whole, for the history.
    func readAll(_ completion: @escaping () -> Void) {
        readAll(partitions[...], completion)
    }

    private func readAll(_ rest: ArraySlice<TopicPartition>, _ completion: @escaping () -> Void) {
        guard let partition = rest.first else { return completion() }
        readAll(partition, from: 0, []) { [self] in readAll(rest.dropFirst(), completion) }
    }

    private func readAll(
        _ partition: TopicPartition, from offset: Int64, _ before: [FinalRead.Entry], _ completion: @escaping () -> Void
    ) {
        fetch(partition, from: offset) { [self] fetched in
            let entries =
                before + (fetched?.records ?? []).map { FinalRead.Entry(offset: $0.offset, value: .number($0.value)) }
            if let fetched, fetched.next >= fetched.highWatermark {
                world.history.record(
                    "final", .finalRead(FinalRead(partition, entries, endOffset: fetched.highWatermark)))
                return completion()
            }
            timeline.after(.milliseconds(10), "read-all") { [self] in
                readAll(partition, from: fetched?.next ?? offset, entries, completion)
            }
        }
    }
}
