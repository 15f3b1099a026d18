// Counts the words of a topic's records and writes each word's count to another topic, with the word as key.
//
//   WordCount BROKERS FROM TO [--until-idle]
//
// At least once: counts are written before the offsets of the lines that they come from are committed. After a crash the
// lines since the last commit are counted again; ExactlyOnceCopy shows how to rule that out. The counts so far are read
// from the topic at the start, so that the program goes on where it ended.
import MartletClient

@main
struct WordCount {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4 else { fatalError("usage: WordCount BROKERS FROM TO [--until-idle]") }
        let brokers = try BrokerAddress.list(arguments[1])
        let (from, to) = (arguments[2], arguments[3])
        let untilIdle = arguments.contains("--until-idle")

        var counts = try await readCounts(of: to, brokers)

        var configuration = ConsumerConfiguration(bootstrapServers: brokers, groupId: "word-count")
        configuration.offsetReset = .earliest
        configuration.isAutoCommitEnabled = false
        let consumer = try Consumer(configuration: configuration)
        let producer = try Producer(configuration: ProducerConfiguration(bootstrapServers: brokers))
        try consumer.subscribe(to: [from])

        while true {
            let batches = try await consumer.nextBatches(timeout: .seconds(untilIdle ? 5 : 3600))
            if batches.isEmpty && untilIdle { break }
            var changed: Set<String> = []
            for batch in batches {
                for record in batch {
                    for word in (record.value?.string ?? "").lowercased().split(whereSeparator: { !$0.isLetter }) {
                        counts[String(word), default: 0] += 1
                        changed.insert(String(word))
                    }
                }
            }
            for word in changed.sorted() {
                try await producer.enqueueWaiting(ProducerRecord(topic: to, key: word, text: "\(counts[word]!)"))
            }
            try await producer.flush()
            try await consumer.commit()
        }
        await producer.close()
        await consumer.close()
    }

    /// Reads the topic from its beginning to where it ends now.
    static func readCounts(of topic: String, _ brokers: [BrokerAddress]) async throws -> [String: Int] {
        let consumer = try Consumer(configuration: ConsumerConfiguration(bootstrapServers: brokers))
        let partitions = try await consumer.partitions(of: topic)
        let ends = try await consumer.endOffsets(of: partitions)
        try consumer.assign(Dictionary(uniqueKeysWithValues: partitions.map { ($0, .beginning) }))
        var counts: [String: Int] = [:]
        // A position may stay below the end for a moment, but not for long: what is before the end is there.
        while partitions.contains(where: { consumer.position(of: $0) ?? 0 < ends[$0] ?? 0 }) {
            for batch in try await consumer.nextBatches(timeout: .seconds(1)) {
                for record in batch {
                    guard let word = record.key?.string else { continue }
                    counts[word] = record.value.flatMap { Int($0.string) }
                }
            }
        }
        await consumer.close()
        return counts
    }
}
