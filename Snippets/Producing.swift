// How records are produced; parts of it stand in the documentation of MartletClient.
import MartletClient

struct Order: Codable, Sendable {
    var id: Int
    var item: String
}

// snippet.connect
var configuration = ProducerConfiguration(bootstrapServers: try BrokerAddress.list("127.0.0.1:9092"))
configuration.compression = .zstd
let producer = try Producer(configuration: configuration)
// snippet.end

func sendOne() async throws {
    // snippet.send
    let metadata = try await producer.send(ProducerRecord(topic: "orders", key: "42", text: "two tickets"))
    print("partition \(metadata.partition), offset \(metadata.offset ?? -1)")
    // snippet.end
}

func sendMany(_ lines: [String]) async throws {
    // snippet.enqueue
    var deliveries: [Delivery] = []
    for line in lines {
        // Returns when the record is in its batch; waits only while `bufferMemory` is full.
        deliveries.append(try await producer.enqueueWaiting(ProducerRecord(topic: "lines", text: line)))
    }
    for delivery in deliveries { _ = try await delivery.metadata }
    // snippet.end
}

func sendValues() async throws {
    // snippet.serialize
    let order = Order(id: 42, item: "two tickets")
    try await producer.send(ProducerRecord(topic: "orders", key: "42", .string, value: order, .json(Order.self)))
    // snippet.end
}

func handleErrors(_ record: ProducerRecord) async throws {
    // snippet.errors
    do throws(ClientError) {
        try await producer.send(record)
    } catch {
        switch error.code {
        case .recordTooLarge: print("it must be divided: \(error)")
        case .closed: print("the service ends: \(error)")
        default:
            // Retries are over: `deliveryTimeout` has passed, or they could not help.
            print("not written: \(error); may help later: \(error.isRetriable)")
        }
    }
    // snippet.end
}

try await sendOne()
try await sendMany(["to be", "or not to be"])
try await sendValues()
try await handleErrors(ProducerRecord(topic: "orders", text: "one more"))
// snippet.close
await producer.close()
// snippet.end
