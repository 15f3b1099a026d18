import MartletClient
import Testing

/// The broker goes away and comes back while records are on their way.
@Suite(.serialized) struct RestartTests {
    @Test(.timeLimit(.minutes(2)), arguments: [0, 5]) func nothingIsLostOrDoubled(linger: Int) async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 3)
            var configuration = await node.producerConfiguration
            configuration.linger = .milliseconds(linger)
            configuration.batchSize = 2000
            configuration.bufferMemory = 200_000
            let producer = try Producer(configuration: configuration)
            let restarts = Task {
                for round in 0..<4 {
                    try await Task.sleep(for: .milliseconds(150))
                    try await round.isMultiple(of: 2) ? node.crash() : node.stop()
                    try await Task.sleep(for: .milliseconds(50))
                    try await node.start()
                }
            }
            var expected: [[String]] = [[], [], []]
            var deliveries: [Delivery] = []
            let end = ContinuousClock.now + .milliseconds(1500)
            var count = 0
            while ContinuousClock.now < end {
                let record = ProducerRecord(topic: "t", partition: Int32(count % 3), value: Array("\(count)".utf8))
                deliveries.append(try await producer.enqueueWaiting(record))
                expected[count % 3].append("\(count)")
                count += 1
                if count % 50 == 0 { try await Task.sleep(for: .milliseconds(1)) }
            }
            try await restarts.value
            try await producer.flush()
            for (index, delivery) in deliveries.enumerated() {
                let metadata = try await delivery.metadata
                #expect(metadata.partition == Int32(index % 3))
                #expect(metadata.offset == nil || metadata.offset == Int64(index / 3))
            }
            await producer.close()
            #expect(try await node.values("t") == expected)
            #expect(count > 1000)
        }
    }

    @Test(.timeLimit(.minutes(2)), arguments: [1, 2] as [Int16])
    func transactionsAreWholeAcrossRestarts(version: Int16) async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 2)
            var configuration = await node.producerConfiguration
            configuration.transactionalId = "id"
            configuration.maximumTransactionVersion = version
            configuration.linger = .zero
            let producer = try Producer(configuration: configuration)
            let restarts = Task {
                for round in 0..<3 {
                    try await Task.sleep(for: .milliseconds(200))
                    try await round.isMultiple(of: 2) ? node.crash() : node.stop()
                    try await node.start()
                }
            }
            var committed: [String] = []
            var aborted = 0
            let end = ContinuousClock.now + .milliseconds(1500)
            var round = 0
            while ContinuousClock.now < end {
                round += 1
                let number = round
                do {
                    try await producer.withTransaction { transaction in
                        for partition in 0..<2 as Range<Int32> {
                            for part in 0..<3 {
                                try transaction.enqueue(
                                    ProducerRecord(
                                        topic: "t", partition: partition, value: Array("\(number)-\(part)".utf8)))
                            }
                        }
                    }
                    committed += (0..<3).map { "\(number)-\($0)" }
                } catch let error as ClientError where error.code == .transactionAborted {
                    aborted += 1
                }
            }
            try await restarts.value
            await producer.close()
            #expect(try await node.values("t", committedOnly: true) == [committed, committed])
            #expect(committed.count > 30)
        }
    }
}
