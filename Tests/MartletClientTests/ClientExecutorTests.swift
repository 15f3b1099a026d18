import MartletTesting
import Testing

@testable import MartletClient

/// A task that runs where its clients do never changes its thread while it uses them, whatever it waits for.
@Suite(.timeLimit(.minutes(1))) struct ClientExecutorTests {
    @Test func aTaskStaysWhereItsClientsAre() async throws {
        let executor = ClientExecutor()
        try await withTestedBroker { broker in
            try await broker.createTopic("t", partitions: 2)
            var producing = ProducerConfiguration(bootstrapServers: broker.addresses)
            producing.executor = executor
            var consuming = ConsumerConfiguration(bootstrapServers: broker.addresses, groupId: "g")
            consuming.executor = executor
            consuming.offsetReset = .earliest
            let (producerConfiguration, consumerConfiguration) = (producing, consuming)
            try await withTaskExecutorPreference(executor) {
                let producer = try Producer(configuration: producerConfiguration)
                let consumer = try Consumer(configuration: consumerConfiguration)
                try consumer.subscribe(to: ["t"])
                #expect(executor.loop.inEventLoop)
                for index in 0..<100 {
                    try await producer.send(
                        ProducerRecord(topic: "t", partition: Int32(index & 1), value: Array("\(index)".utf8)))
                    #expect(executor.loop.inEventLoop)
                }
                var seen: Set<String> = []
                for try await record in consumer.records {
                    #expect(executor.loop.inEventLoop)
                    seen.insert(record.value?.string ?? "null")
                    if seen.count == 100 { break }
                }
                try await consumer.commit()
                #expect(executor.loop.inEventLoop)
                await producer.close()
                await consumer.close()
                #expect(executor.loop.inEventLoop)
            }
        }
    }

    /// Clients without an executor of their own work from such a task too, and several share one.
    @Test func clientsOfOtherLoopsServeIt() async throws {
        let executor = ClientExecutor()
        try await withTestedBroker { broker in
            try await broker.createTopic("t")
            let addresses = broker.addresses
            try await withTaskExecutorPreference(executor) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<4 {
                        group.addTask {
                            var configuration = ProducerConfiguration(bootstrapServers: addresses)
                            if number.isMultiple(of: 2) { configuration.executor = executor }
                            let producer = try Producer(configuration: configuration)
                            for index in 0..<50 {
                                try await producer.send(ProducerRecord(topic: "t", text: "\(number) \(index)"))
                            }
                            await producer.close()
                            #expect(producer.report.acknowledged == 50)
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }
}
