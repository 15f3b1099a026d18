import MartletTesting
import Synchronization
import Testing

@testable import MartletClient

/// Who waits for memory gets it in turn.
@Suite struct MemoryQueueTests {
    private func record(_ value: String, length: Int = 3000) -> ProducerRecord {
        ProducerRecord(
            topic: "t", partition: 0, value: Array((value + String(repeating: ".", count: length)).utf8))
    }

    /// A producer whose memory is full of a request that is answered when `release` is called.
    private func withFullProducer(
        _ body: (TestBroker, Producer, _ release: () -> Void) async throws -> Void
    ) async throws {
        try await withTopics(["t": 1]) { broker in
            let producer = try broker.producer {
                $0.bufferMemory = 16 << 10
                $0.batchSize = 4 << 10
                $0.maximumInFlightRequests = 1
            }
            _ = try await producer.send(record("warm", length: 10))
            let isHeld = Mutex(true)
            broker.intercept(.produce) { _ in
                isHeld.withLock { $0 } ? .fail(.notLeaderOrFollower) : .proceed
            }
            let error = #expect(throws: ClientError.self) { while true { try producer.enqueue(record("first")) } }
            #expect(error?.code == .bufferFull)
            try await body(broker, producer) { isHeld.withLock { $0 = false } }
            await producer.close()
        }
    }

    private func waiters(_ producer: Producer) -> Int { producer.sender.shared.withLock { $0.memoryWaiters.count } }

    @Test(.timeLimit(.minutes(1))) func recordsThatWaitKeepTheirOrder() async throws {
        try await withFullProducer { broker, producer, release in
            var tasks: [Task<RecordMetadata, any Error>] = []
            for index in 0..<12 {
                // Every third one needs much.
                let next = record("\(index)", length: index % 3 == 0 ? 6000 : 10)
                tasks.append(Task { try await producer.send(next) })
                try await eventually("it waits") { waiters(producer) == index + 1 }
            }
            release()
            var offsets: [Int64] = []
            for task in tasks { offsets.append(try #require(try await task.value.offset)) }
            #expect(offsets == offsets.sorted(), "\(offsets)")
            #expect(waiters(producer) == 0)
        }
    }

    @Test(.timeLimit(.minutes(1))) func whoOnlyWaitsIsWokenInTurn() async throws {
        try await withFullProducer { broker, producer, release in
            var tasks: [Task<Void, any Error>] = []
            for index in 0..<5 {
                tasks.append(Task { try await producer.waitForMemory() })
                try await eventually("it waits") { waiters(producer) == index + 1 }
            }
            // One that gives up leaves the line.
            tasks[0].cancel()
            await #expect(throws: ClientError.self) { try await tasks[0].value }
            #expect(waiters(producer) == 4)
            release()
            for task in tasks.dropFirst() { try await task.value }
            #expect(waiters(producer) == 0)
            #expect(producer.withCore { $0.awaitedBytes } == 0)
        }
    }

    @Test func theFirstInLineIsNotOvertaken() throws {
        var configuration = ProducerConfiguration(bootstrapServers: [BrokerAddress(host: "a", port: 1)])
        configuration.bufferMemory = 16 << 10
        configuration.batchSize = 1 << 10
        var harness = ProducerHarness(seed: 1, configuration: configuration)
        for partition in 0..<3 { try harness.append("warm", to: partition) }
        #expect(try harness.settle())
        #expect(throws: ClientError.self) { while true { try harness.append("a", to: 0, length: 400) } }
        var queue = MemoryQueue()
        let log = Mutex<[String]>([])
        func waiting(_ name: String, _ byteCount: Int) -> MemoryWait {
            MemoryWait { core in
                do throws(ClientError) {
                    try core.charge(byteCount)
                } catch {
                    return false
                }
                log.withLock { $0.append(name) }
                return true
            }
        }
        let first = waiting("large", 8000)
        queue.append(first)
        queue.append(waiting("small", 100))
        harness.core.bufferedBytes = 12 << 10
        #expect(queue.serve(&harness.core, hasFreed: true).isEmpty)
        // Nobody else gets what the first one waits for, and the second one not before it.
        #expect(throws: ClientError.self) { try harness.core.charge(100) }
        harness.core.bufferedBytes = 8 << 10
        #expect(queue.serve(&harness.core, hasFreed: true).count == 2)
        #expect(log.withLock { $0 } == ["large", "small"] && queue.isEmpty)
        harness.core.bufferedBytes = 12 << 10
        let impatient = waiting("large", 8000)
        queue.append(impatient)
        queue.append(waiting("small", 100))
        #expect(queue.serve(&harness.core, hasFreed: true).isEmpty)
        #expect(queue.remove(impatient, &harness.core))
        #expect(queue.serve(&harness.core, hasFreed: true).count == 1)
    }
}
