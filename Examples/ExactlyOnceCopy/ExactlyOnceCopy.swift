// Copies a topic's records into another topic, each exactly once.
//
//   ExactlyOnceCopy BROKERS FROM TO [--until-idle]
//
// Copies and the offsets of what was copied are committed in one transaction: either both count or neither. Start it
// several times, and the copies share the partitions; kill one in the middle, and another takes over where the last
// transaction ended. Whoever reads the copy with isolation.level=read_committed sees no record twice.
import MartletClient

@main
struct ExactlyOnceCopy {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4 else { fatalError("usage: ExactlyOnceCopy BROKERS FROM TO [--until-idle]") }
        let brokers = try BrokerAddress.list(arguments[1])
        let (from, to) = (arguments[2], arguments[3])
        let untilIdle = arguments.contains("--until-idle")

        var consuming = ConsumerConfiguration(bootstrapServers: brokers, groupId: "copy-\(from)-\(to)")
        consuming.offsetReset = .earliest
        consuming.isolationLevel = .readCommitted
        // The transactions commit.
        consuming.isAutoCommitEnabled = false
        let consumer = try Consumer(configuration: consuming)
        var producing = ProducerConfiguration(bootstrapServers: brokers)
        // One for each instance. The group's member keeps apart who may commit which offsets (KIP-447).
        producing.transactionalId = "copy-\(from)-\(to)-\(UInt64.random(in: .min ... .max))"
        let producer = try Producer(configuration: producing)
        try consumer.subscribe(to: [from])

        while true {
            let batches = try await consumer.nextBatches(timeout: .seconds(untilIdle ? 5 : 3600))
            if batches.isEmpty {
                if untilIdle { break } else { continue }
            }
            do {
                try await producer.withTransaction { transaction in
                    for batch in batches {
                        for record in batch {
                            try await transaction.enqueueWaiting(
                                ProducerRecord(
                                    topic: to, partition: record.partition, key: record.key?.bytes,
                                    value: record.value?.bytes, headers: record.headers, timestamp: record.timestamp))
                        }
                    }
                    try await transaction.sendOffsets(
                        Dictionary(batches.map { ($0.topicPartition, $0.consumedOffset) }) { $1 },
                        for: consumer.groupMetadata)
                }
            } catch let error as ClientError where error.isRetriable && !error.isFatal {
                // Nothing of it counts: what was read comes again from the last committed offsets.
                print("aborted: \(error)")
                for (partition, _) in consumer.positions { try consumer.seek(partition, to: .committed) }
            }
        }
        await producer.close()
        await consumer.close()
    }
}
