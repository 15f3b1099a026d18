// How records are consumed and produced exactly once; parts of it stand in the documentation of MartletClient.
import MartletClient

func transformed(_ record: ConsumerRecord) -> ProducerRecord {
    ProducerRecord(topic: "invoices", key: record.key?.bytes, value: record.value?.bytes)
}

let brokers = try BrokerAddress.list("127.0.0.1:9092")

// snippet.configure
var consuming = ConsumerConfiguration(bootstrapServers: brokers, groupId: "billing")
consuming.isolationLevel = .readCommitted
consuming.isAutoCommitEnabled = false
let consumer = try Consumer(configuration: consuming)

var producing = ProducerConfiguration(bootstrapServers: brokers)
producing.transactionalId = "billing-1"
let producer = try Producer(configuration: producing)
// snippet.end

// snippet.loop
try consumer.subscribe(to: ["orders"])
for try await batch in consumer.batches {
    do {
        try await producer.withTransaction { transaction in
            for record in batch { try await transaction.enqueueWaiting(transformed(record)) }
            try await transaction.sendOffsets(
                [batch.topicPartition: batch.consumedOffset], for: consumer.groupMetadata)
        }
    } catch let error as ClientError where error.isRetriable {
        // The transaction was aborted: nothing of it counts, and the batch comes again.
        try consumer.seek(batch.topicPartition, to: .committed)
    }
}
// snippet.end
