// How records are consumed; parts of it stand in the documentation of MartletClient.
import MartletClient

struct Order: Codable, Sendable {
    var id: Int
    var item: String
}

func handle(_ record: ConsumerRecord) async throws {
    print(record.topic, record.partition, record.offset, record.value?.string ?? "tombstone")
}

let brokers = try BrokerAddress.list("127.0.0.1:9092")

func consume() async throws {
    // snippet.subscribe
    var configuration = ConsumerConfiguration(bootstrapServers: brokers, groupId: "billing")
    configuration.offsetReset = .earliest
    let consumer = try Consumer(configuration: configuration)
    try consumer.subscribe(to: ["orders"])
    for try await record in consumer.records {
        try await handle(record)
    }
    // snippet.end
}

func atLeastOnce() async throws {
    // snippet.atLeastOnce
    var configuration = ConsumerConfiguration(bootstrapServers: brokers, groupId: "billing")
    configuration.isAutoCommitEnabled = false
    let consumer = try Consumer(configuration: configuration)
    try consumer.subscribe(to: ["orders"])
    for try await batch in consumer.batches {
        for record in batch { try await handle(record) }
        // After a crash before this line the batch comes again.
        try await consumer.commit()
    }
    // snippet.end
}

func atMostOnce() async throws {
    // snippet.atMostOnce
    var configuration = ConsumerConfiguration(bootstrapServers: brokers, groupId: "billing")
    configuration.isAutoCommitEnabled = false
    let consumer = try Consumer(configuration: configuration)
    try consumer.subscribe(to: ["orders"])
    for try await batch in consumer.batches {
        // After a crash behind this line the rest of the batch is not processed by anybody.
        try await consumer.commit([batch.topicPartition: batch.consumedOffset])
        for record in batch { try await handle(record) }
    }
    // snippet.end
}

func assignByHand() async throws {
    // snippet.assign
    let consumer = try Consumer(configuration: ConsumerConfiguration(bootstrapServers: brokers))
    let yesterday = Int64(1_700_000_000_000)
    try consumer.assign([
        TopicPartition("orders", 0): .beginning,
        TopicPartition("orders", 1): .timestamp(yesterday),
        TopicPartition("orders", 2): .offset(1000),
    ])
    for batch in try await consumer.nextBatches(timeout: .seconds(5)) {
        print(batch.topicPartition, batch.firstOffset, batch.count)
    }
    await consumer.close()
    // snippet.end
}

func decode(_ record: ConsumerRecord) throws {
    // snippet.deserialize
    if let value = record.value {
        let order = try JSONSerializer(Order.self).deserialize(value.bytes)
        print(order.item)
    }
    // snippet.end
}

// snippet.listener
struct Bookkeeper: RebalanceListener {
    func partitionsAssigned(_ partitions: [TopicPartition], to consumer: Consumer) async {
        // Load what belongs to them; fetching begins when this returns.
        print("mine now: \(partitions)")
    }

    func partitionsRevoked(_ partitions: [TopicPartition], from consumer: Consumer) async {
        // The last chance to finish and to commit: the next owner begins when this returns.
        print("given away: \(partitions)")
    }

    func partitionsLost(_ partitions: [TopicPartition], from consumer: Consumer) async {
        // Somebody else has them already.
        print("lost: \(partitions)")
    }
}
// snippet.end

func listen() throws -> Consumer {
    // snippet.group
    var configuration = ConsumerConfiguration(bootstrapServers: brokers, groupId: "billing")
    configuration.groupProtocol = .consumer
    configuration.groupInstanceId = "billing-1"
    configuration.rebalanceListener = Bookkeeper()
    // snippet.end
    return try Consumer(configuration: configuration)
}

try await assignByHand()
_ = try listen()
switch CommandLine.arguments.dropFirst().first {
case "at-most-once": try await atMostOnce()
case "at-least-once": try await atLeastOnce()
default: try await consume()
}
