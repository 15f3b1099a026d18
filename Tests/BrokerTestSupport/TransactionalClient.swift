import CommitLog
import KafkaProtocol
import RecordFormat

/// A transactional producer by hand: each call is one request and its reply.
package final class TransactionalClient {
    /// What the client believes of the broker: version 1 adds partitions by request and keeps its epoch, version 2
    /// (KIP-890) adds them by using them and gets a new epoch with each end.
    package enum Version: Sendable, CaseIterable {
        case one
        case two
    }

    package let fixture: BrokerFixture
    package let sink: ManualSink
    package let transactionalId: String
    package let version: Version
    package var producerId: Int64 = -1
    package var producerEpoch: Int16 = -1
    private var sequences: [String: Int32] = [:]

    package init(_ fixture: BrokerFixture, _ transactionalId: String, _ version: Version) {
        self.fixture = fixture
        self.transactionalId = transactionalId
        self.version = version
        sink = fixture.connect()
    }

    package struct NoReply: Error {}

    package func ask<Request: ProtocolRequest>(
        _ request: Request, _ version: Int16
    ) throws -> Request.Response {
        sink.send(request, version: version)
        return try reply(Request.Response.self, version)
    }

    package func reply<Response: ProtocolResponse>(_ type: Response.Type, _ version: Int16) throws -> Response {
        var looksAtDeadDisk = 0
        fixture.run {
            // What waits for a disk that is gone is not answered before the broker is.
            if (fixture.fileSystem as? SimulatedFileSystem)?.hasCrashed == true { looksAtDeadDisk += 1 }
            return sink.received.count > 0 || sink.isClosed || looksAtDeadDisk > 20
        }
        guard let (_, response) = try sink.reply(type, version: version) else { throw NoReply() }
        return response
    }

    // MARK: Life

    /// Makes `__transaction_state` if need be.
    package func findCoordinator() throws -> ErrorCode {
        var request = FindCoordinatorRequest()
        request.keyType = 1
        request.coordinatorKeys = [transactionalId]
        return ErrorCode(rawValue: try ask(request, 4).coordinators[0].errorCode)
    }

    @discardableResult
    package func initialize(timeout: Int32 = 60_000) throws -> ErrorCode {
        var request = InitProducerIdRequest()
        request.transactionalId = transactionalId
        request.transactionTimeoutMs = timeout
        var response = try ask(request, 5)
        // Right after a start the coordinator still reads its log; clients try again.
        for _ in 0..<1000 where ErrorCode(rawValue: response.errorCode) == .coordinatorLoadInProgress {
            response = try ask(request, 5)
        }
        if response.errorCode == 0 {
            producerId = response.producerId
            producerEpoch = response.producerEpoch
            sequences = [:]
        }
        return ErrorCode(rawValue: response.errorCode)
    }

    // MARK: Transactions

    package func add(_ topic: String, _ partitions: [Int32]) throws -> [ErrorCode] {
        var request = AddPartitionsToTxnRequest()
        request.v3AndBelowTransactionalId = transactionalId
        request.v3AndBelowProducerId = producerId
        request.v3AndBelowProducerEpoch = producerEpoch
        var entry = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
        entry.name = topic
        entry.partitions = partitions
        request.v3AndBelowTopics = [entry]
        return try ask(request, 3).resultsByTopicV3AndBelow.flatMap(\.resultsByPartition).map {
            ErrorCode(rawValue: $0.partitionErrorCode)
        }
    }

    /// A batch in the transaction, as this client would send it next.
    package func batch(_ topic: String, _ partition: Int32, _ values: [String]) throws -> [UInt8] {
        let key = "\(topic)-\(partition)"
        let sequence = sequences[key, default: 0]
        sequences[key] = sequence + Int32(values.count)
        var builder = RecordBatchBuilder(
            attributes: .transactional, producerId: producerId, producerEpoch: producerEpoch, baseSequence: sequence)
        for value in values {
            builder.append(key: nil, value: Array(value.utf8), timestamp: fixture.clock.wallMilliseconds)
        }
        return try builder.build()
    }

    package var produceVersion: Int16 { version == .two ? 12 : 9 }

    package func request(_ topic: String, _ partition: Int32, _ batch: [UInt8]) -> ProduceRequest {
        var request = Batch.produce(topic, [(partition, batch)])
        request.transactionalId = transactionalId
        return request
    }

    /// Adds the partition if this client must, and sends the records.
    package func produce(_ topic: String, _ partition: Int32, _ values: [String]) throws -> ErrorCode {
        if version == .one {
            let code = try add(topic, [partition])[0]
            if code != .none { return code }
        }
        return try produceUnadded(topic, partition, values)
    }

    package func produceUnadded(_ topic: String, _ partition: Int32, _ values: [String]) throws -> ErrorCode {
        let request = request(topic, partition, try batch(topic, partition, values))
        return ErrorCode(
            rawValue: try ask(request, produceVersion).responses[0].partitionResponses[0].errorCode)
    }

    package func commitOffset(_ offset: Int64, of topic: String, group: String) throws -> ErrorCode {
        if version == .one {
            var add = AddOffsetsToTxnRequest()
            add.transactionalId = transactionalId
            add.producerId = producerId
            add.producerEpoch = producerEpoch
            add.groupId = group
            let code = ErrorCode(rawValue: try ask(add, 3).errorCode)
            if code != .none { return code }
        }
        var request = TxnOffsetCommitRequest()
        request.transactionalId = transactionalId
        request.groupId = group
        request.producerId = producerId
        request.producerEpoch = producerEpoch
        var entry = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()
        entry.name = topic
        var partition = TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()
        partition.committedOffset = offset
        entry.partitions = [partition]
        request.topics = [entry]
        for _ in 0..<1000 {
            let response = try ask(request, version == .two ? 5 : 3)
            let code = ErrorCode(rawValue: response.topics[0].partitions[0].errorCode)
            if code != .coordinatorLoadInProgress { return code }
        }
        return .coordinatorLoadInProgress
    }

    package func end(commit: Bool) throws -> ErrorCode {
        var request = EndTxnRequest()
        request.transactionalId = transactionalId
        request.producerId = producerId
        request.producerEpoch = producerEpoch
        request.committed = commit
        let response = try ask(request, version == .two ? 5 : 3)
        if version == .two && response.errorCode == 0 {
            producerId = response.producerId
            producerEpoch = response.producerEpoch
            sequences = [:]
        }
        return ErrorCode(rawValue: response.errorCode)
    }
}

/// Reads a fixture's partitions as consumers do.
package struct PartitionView {
    package let fixture: BrokerFixture

    package init(_ fixture: BrokerFixture) {
        self.fixture = fixture
    }

    package struct Read {
        /// The values that a consumer at this isolation level gives its user.
        package var values: [String] = []
        package var highWatermark: Int64 = -1
        package var lastStableOffset: Int64 = -1
    }

    package func read(_ topic: String, _ partition: Int32 = 0, committedOnly: Bool = true) throws -> Read {
        let sink = fixture.connect()
        var result = Read()
        var offset: Int64 = 0
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
                        result.values.append(String(decoding: record.value ?? [], as: UTF8.self))
                    }
                }
                next = header.nextOffset
                position += header.totalLength
            }
        }
        return next
    }
}
