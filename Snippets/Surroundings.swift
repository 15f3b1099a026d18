// How the client fits into a service; parts of it stand in the documentation of MartletClient.
import MartletClient

let brokers = try BrokerAddress.list("kafka.example.com:9093")

// snippet.security
var configuration = ProducerConfiguration(bootstrapServers: brokers)
configuration.security = ClientSecurity(
    tls: ClientTLS(trustRoots: .file("/etc/ssl/kafka-ca.pem")),
    credentials: SASLCredentials(.scramSHA512, userName: "billing", password: "secret"))
// snippet.end

// snippet.executor
let executor = ClientExecutor()
configuration.executor = executor
var consuming = ConsumerConfiguration(bootstrapServers: brokers)
consuming.executor = executor

func answer(with producer: Producer, _ consumer: Consumer) async throws {
    try await withTaskExecutorPreference(executor) {
        for try await record in consumer.records {
            try producer.enqueue(ProducerRecord(topic: "answers", value: record.value.map(Array.init)))
        }
    }
}
// snippet.end

// snippet.tracing
configuration.tracing = TraceContextTracing()
let producer = try Producer(configuration: configuration)

func pass(on record: ConsumerRecord) async throws {
    // What is produced inside belongs to the trace that the consumed record came with.
    try await TraceContext.$current.withValue(TraceContext(headers: record.headers)) {
        _ = try await producer.send(ProducerRecord(topic: "audit", text: "seen"))
    }
}
// snippet.end
