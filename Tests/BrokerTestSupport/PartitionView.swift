import KafkaProtocol
import RecordFormat

/// Reads a fixture's partitions as consumers do.
package struct PartitionView {
    package let fixture: BrokerFixture

    package init(_ fixture: BrokerFixture) {
        self.fixture = fixture
    }

    package struct Read {
        /// What a consumer at this isolation level gives its user.
        package var records: [(offset: Int64, value: String)] = []
        package var values: [String] { records.map(\.value) }
        package var highWatermark: Int64 = -1
        package var lastStableOffset: Int64 = -1
        /// Where the next read goes on.
        package var position: Int64 = 0
    }

    package func read(_ topic: String, _ partition: Int32 = 0, from start: Int64 = 0, committedOnly: Bool = true) throws
        -> Read
    {
        let sink = fixture.connect()
        var result = Read()
        var offset = start
        while true {
            var request = Batch.fetch(topic, offset: offset, partition: partition)
            request.isolationLevel = committedOnly ? 1 : 0
            sink.send(request, version: 11)
            fixture.run { sink.received.count > 0 }
            guard let (_, response) = try sink.reply(FetchResponse.self, version: 11) else {
                throw TransactionalClient.NoReply()
            }
            let data = response.responses[0].partitions[0]
            result.highWatermark = data.highWatermark
            result.lastStableOffset = data.lastStableOffset
            let next = try take(data, committedOnly, into: &result)
            result.position = max(offset, next)
            if next <= offset { return result }
            offset = next
        }
    }

    /// Where the partition ends for a consumer at this isolation level.
    package func end(_ topic: String, _ partition: Int32 = 0, committedOnly: Bool = true) throws -> Int64 {
        let sink = fixture.connect()
        var request = ListOffsetsRequest()
        request.replicaId = -1
        request.isolationLevel = committedOnly ? 1 : 0
        var entry = ListOffsetsRequest.ListOffsetsTopic()
        entry.name = topic
        var asked = ListOffsetsRequest.ListOffsetsPartition()
        asked.partitionIndex = partition
        asked.timestamp = -1
        entry.partitions = [asked]
        request.topics = [entry]
        sink.send(request, version: 6)
        fixture.run { sink.received.count > 0 }
        guard let (_, response) = try sink.reply(ListOffsetsResponse.self, version: 6) else {
            throw TransactionalClient.NoReply()
        }
        return response.topics[0].partitions[0].offset
    }

    /// What a group has committed for partition 0; its coordinator's topic is made if need be.
    package func committedOffset(
        of group: String, _ topic: String, stable: Bool = true
    ) throws -> (offset: Int64, error: ErrorCode) {
        let client = TransactionalClient(fixture, "reader", .one)
        var find = FindCoordinatorRequest()
        find.coordinatorKeys = [group]
        _ = try client.ask(find, 4)
        var asked = OffsetFetchRequest.OffsetFetchRequestGroup()
        asked.groupId = group
        var entry = OffsetFetchRequest.OffsetFetchRequestTopics()
        entry.name = topic
        entry.partitionIndexes = [0]
        asked.topics = [entry]
        var request = OffsetFetchRequest()
        request.groups = [asked]
        request.requireStable = stable
        let answer = try client.ask(request, 8).groups[0]
        if answer.errorCode != 0 { return (-1, ErrorCode(rawValue: answer.errorCode)) }
        let partition = answer.topics[0].partitions[0]
        return (partition.committedOffset, ErrorCode(rawValue: partition.errorCode))
    }

    /// Filters as a client does: what aborted producers wrote goes, until their marker.
    private func take(
        _ data: FetchResponse.PartitionData, _ committedOnly: Bool, into result: inout Read
    ) throws -> Int64 {
        var coming = (data.abortedTransactions ?? []).sorted { $0.firstOffset < $1.firstOffset }
        var aborted: Set<Int64> = []
        var next: Int64 = -1
        try (data.records ?? []).withUnsafeBytes { memory in
            let reader = RecordBatchReader()
            var position = 0
            while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: memory[position...])),
                header.totalLength <= memory.count - position
            {
                let batch = UnsafeRawBufferPointer(rebasing: memory[position..<position + header.totalLength])
                while let first = coming.first, first.firstOffset <= header.lastOffset {
                    aborted.insert(first.producerId)
                    coming.removeFirst()
                }
                if header.isControl {
                    if committedOnly, try EndTransactionMarker(batch: batch)?.outcome == .abort {
                        aborted.remove(header.producerId)
                    }
                } else if !(committedOnly && header.isTransactional && aborted.contains(header.producerId)) {
                    for record in try reader.records(of: batch) {
                        result.records.append((record.offset, String(decoding: record.value ?? [], as: UTF8.self)))
                    }
                }
                next = header.nextOffset
                position += header.totalLength
            }
        }
        return next
    }
}
