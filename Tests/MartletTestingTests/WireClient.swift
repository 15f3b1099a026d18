import KafkaProtocol
import MartletClient
import MartletTesting
import RecordFormat

/// The least that a client needs: one connection and hand-made requests, so that a test sees each reply as it is.
struct WireClient {
    let connection: BrokerConnection

    static func connect(to broker: TestBroker, requestTimeout: Duration = .seconds(10)) async throws -> WireClient {
        try await connect(to: broker.bootstrapServers, requestTimeout: requestTimeout)
    }

    static func connect(to address: String, requestTimeout: Duration = .seconds(10)) async throws -> WireClient {
        let parts = address.split(separator: ":")
        var options = ClientOptions()
        options.requestTimeout = requestTimeout
        return WireClient(
            connection: try await BrokerConnection.open(
                BrokerAddress(host: String(parts[0]), port: Int(parts[1])!), options: options))
    }

    /// Produces one batch; returns the partition's part of the reply.
    @discardableResult
    func produce(
        _ values: [String], to topic: String, partition: Int32 = 0, transactionalId: String? = nil,
        producer: (id: Int64, epoch: Int16) = (-1, -1), sequence: Int32 = -1
    ) async throws -> ProduceResponse.PartitionProduceResponse {
        let request = try WireClient.produceRequest(
            values, to: topic, partition: partition, transactionalId: transactionalId, producer: producer,
            sequence: sequence)
        let response = try await connection.send(request, maximumVersion: 12)
        return response.responses[0].partitionResponses[0]
    }

    static func produceRequest(
        _ values: [String], to topic: String, partition: Int32 = 0, transactionalId: String? = nil,
        producer: (id: Int64, epoch: Int16) = (-1, -1), sequence: Int32 = -1, acks: Int16 = -1
    ) throws -> ProduceRequest {
        var builder = RecordBatchBuilder(producerId: producer.id, producerEpoch: producer.epoch, baseSequence: sequence)
        if transactionalId != nil { builder.header.attributes.insert(.transactional) }
        for (index, value) in values.enumerated() {
            builder.append(
                key: Array("k\(index)".utf8), value: Array(value.utf8),
                headers: [RecordHeader(key: "h", value: [1])], timestamp: 1_700_000_000_000)
        }
        var data = ProduceRequest.PartitionProduceData()
        data.index = partition
        data.records = try builder.build()
        var named = ProduceRequest.TopicProduceData()
        named.name = topic
        named.partitionData = [data]
        var request = ProduceRequest()
        request.transactionalId = transactionalId
        request.acks = acks
        request.timeoutMs = 5000
        request.topicData = [named]
        return request
    }

    static func fetchRequest(_ topic: String, session: (id: Int32, epoch: Int32) = (0, -1)) -> FetchRequest {
        var request = FetchRequest()
        request.minBytes = 1
        request.maxBytes = 1 << 20
        request.sessionId = session.id
        request.sessionEpoch = session.epoch
        guard session.epoch <= 0 else { return request }
        var partition = FetchRequest.FetchPartition()
        partition.partitionMaxBytes = 1 << 20
        var named = FetchRequest.FetchTopic()
        named.topic = topic
        named.partitions = [partition]
        request.topics = [named]
        return request
    }

    /// Makes the group's coordinator ready, and commits an offset as a client without membership does.
    func commit(_ offset: Int64, group: String, topic: String, partition: Int32 = 0) async throws -> Int16 {
        var find = FindCoordinatorRequest()
        find.coordinatorKeys = [group]
        _ = try await connection.send(find)
        var single = OffsetCommitRequest.OffsetCommitRequestPartition()
        single.partitionIndex = partition
        single.committedOffset = offset
        var named = OffsetCommitRequest.OffsetCommitRequestTopic()
        named.name = topic
        named.partitions = [single]
        var request = OffsetCommitRequest()
        request.groupId = group
        request.topics = [named]
        let response = try await connection.send(request, maximumVersion: 8)
        return response.topics[0].partitions[0].errorCode
    }
}

enum FetchedBatches {
    /// The values in the records of a fetch reply.
    static func values(_ bytes: [UInt8]) throws -> [String] {
        let reader = RecordBatchReader()
        var values: [String] = []
        try bytes.withUnsafeBytes { memory in
            var rest = memory[...]
            while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: rest)) {
                for record in try reader.records(of: UnsafeRawBufferPointer(rebasing: rest)) {
                    values.append(String(decoding: record.value ?? [], as: UTF8.self))
                }
                rest = rest.dropFirst(header.totalLength)
            }
        }
        return values
    }
}
