// How a cluster is administered; parts of it stand in the documentation of MartletClient.
import MartletClient

// snippet.connect
let admin = try Admin(configuration: AdminConfiguration(bootstrapServers: try BrokerAddress.list("127.0.0.1:9092")))
// snippet.end

// snippet.topics
let results = try await admin.createTopics([
    NewTopic("orders", partitionCount: 6, configuration: ["retention.ms": "604800000"]),
    NewTopic("invoices", partitionCount: 6, configuration: ["cleanup.policy": "compact"]),
])
for (name, result) in results {
    switch result {
    case .success(let topic): print("\(name) has \(topic.partitionCount ?? 0) partitions")
    case .failure(let error): print("\(name): \(error)")
    }
}
// snippet.end

// snippet.lag
let committed = try await admin.committedOffsets(of: "billing")
let ends = try await admin.offsets(of: Array(committed.keys), at: .latest)
for (partition, offset) in committed.sorted(by: { $0.key < $1.key }) {
    print(partition, "lags by", (ends[partition]?.offset ?? 0) - offset.offset)
}
// snippet.end

// snippet.close
await admin.close()
// snippet.end
