import CommitLog
import Foundation
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

    /// The same client, connected to the broker's next life.
    package func moved(to fixture: BrokerFixture) -> TransactionalClient {
        let client = TransactionalClient(fixture, transactionalId, version)
        client.producerId = producerId
        client.producerEpoch = producerEpoch
        client.sequences = sequences
        return client
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

    /// Asks again while a coordinator reads its log, as clients do; what Produce says then is `code`.
    package func retrying<Answer>(
        _ code: ErrorCode = .coordinatorLoadInProgress, _ body: () throws -> (ErrorCode, Answer)
    ) throws -> Answer {
        for _ in 0..<5000 {
            let (answered, answer) = try body()
            if answered != code { return answer }
            Thread.sleep(forTimeInterval: 0.001)
        }
        return try body().1
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
        let response = try retrying {
            let response = try ask(request, 5)
            return (ErrorCode(rawValue: response.errorCode), response)
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
        return try retrying {
            let codes = try ask(request, 3).resultsByTopicV3AndBelow.flatMap(\.resultsByPartition).map {
                ErrorCode(rawValue: $0.partitionErrorCode)
            }
            return (codes[0], codes)
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
            let code = try retrying {
                let code = ErrorCode(rawValue: try ask(add, 3).errorCode)
                return (code, code)
            }
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
        return try retrying {
            let response = try ask(request, version == .two ? 5 : 3)
            let code = ErrorCode(rawValue: response.topics[0].partitions[0].errorCode)
            return (code, code)
        }
    }

    package func end(commit: Bool) throws -> ErrorCode {
        var request = EndTxnRequest()
        request.transactionalId = transactionalId
        request.producerId = producerId
        request.producerEpoch = producerEpoch
        request.committed = commit
        let response = try retrying {
            let response = try ask(request, version == .two ? 5 : 3)
            return (ErrorCode(rawValue: response.errorCode), response)
        }
        if version == .two && response.errorCode == 0 {
            producerId = response.producerId
            producerEpoch = response.producerEpoch
            sequences = [:]
        }
        return ErrorCode(rawValue: response.errorCode)
    }
}
