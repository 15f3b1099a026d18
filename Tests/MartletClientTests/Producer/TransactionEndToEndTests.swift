import MartletClient
import Testing

@Suite struct TransactionEndToEndTests {
    private struct Stopped: Error {}

    private func producer(_ node: TestNode, _ version: Int16, id: String = "id") async throws -> Producer {
        var configuration = await node.producerConfiguration
        configuration.transactionalId = id
        configuration.maximumTransactionVersion = version
        return try Producer(configuration: configuration)
    }

    @Test(.timeLimit(.minutes(1)), arguments: [1, 2] as [Int16])
    func whatIsCommittedIsReadAndWhatIsAbortedIsNot(version: Int16) async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 2)
            let producer = try await producer(node, version)
            var expected: [[String]] = [[], []]
            for round in 0..<30 {
                let mustAbort = round % 3 == 1
                do {
                    let count = try await producer.withTransaction { transaction in
                        for index in 0..<10 {
                            try transaction.enqueue(
                                ProducerRecord(
                                    topic: "t", partition: Int32(index % 2), value: Array("\(round)-\(index)".utf8)))
                        }
                        if mustAbort {
                            // Half of the rounds abort what is in the log already.
                            if round % 2 == 0 { try await producer.flush() }
                            throw Stopped()
                        }
                        return 10
                    }
                    #expect(count == 10 && !mustAbort)
                    for index in 0..<10 { expected[index % 2].append("\(round)-\(index)") }
                } catch is Stopped {
                    #expect(mustAbort)
                }
            }
            try await producer.withTransaction { _ in }
            await producer.close()
            #expect(try await node.values("t", committedOnly: true) == expected)
            #expect(try await node.values("t").joined().count > expected.joined().count)
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: [1, 2] as [Int16])
    func aSecondProducerFencesTheFirst(version: Int16) async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            let first = try await producer(node, version)
            let second = try await producer(node, version)
            let error = await #expect(throws: ClientError.self) {
                try await first.withTransaction { transaction in
                    try await transaction.send(ProducerRecord(topic: "t", text: "lost"))
                    try await second.initializeTransactions()
                }
            }
            #expect(error?.code == .fenced)
            #expect(error?.isFatal == true)
            let again = await #expect(throws: ClientError.self) { try await first.withTransaction { _ in } }
            #expect(again?.code == .fenced)
            try await second.withTransaction { try $0.enqueue(ProducerRecord(topic: "t", text: "kept")) }
            await first.close()
            await second.close()
            #expect(try await node.values("t", committedOnly: true) == [["kept"]])
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: [1, 2] as [Int16])
    func offsetsAreCommittedWithTheTransactionOrNotAtAll(version: Int16) async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            let producer = try await producer(node, version)
            let partition = TopicPartition("t", 0)
            let group = ConsumerGroupMetadata(groupId: "g")
            try await producer.withTransaction { transaction in
                try transaction.enqueue(ProducerRecord(topic: "t", text: "a"))
                try await transaction.sendOffsets([partition: ConsumedOffset(7)], for: group)
            }
            await #expect(throws: Stopped.self) {
                try await producer.withTransaction { transaction in
                    try await transaction.sendOffsets([partition: ConsumedOffset(9)], for: group)
                    throw Stopped()
                }
            }
            // A member that the group does not know must not commit.
            let stranger = ConsumerGroupMetadata(groupId: "g", generation: 3, memberId: "nobody")
            let refused = await #expect(throws: ClientError.self) {
                try await producer.withTransaction { transaction in
                    try transaction.enqueue(ProducerRecord(topic: "t", text: "b"))
                    try await transaction.sendOffsets([partition: ConsumedOffset(11)], for: stranger)
                }
            }
            #expect(refused?.code == .transactionAborted)
            try await producer.withTransaction { try $0.enqueue(ProducerRecord(topic: "t", text: "c")) }
            await producer.close()
            #expect(try await node.committedOffsets(of: "g") == [partition: 7])
            #expect(try await node.values("t", committedOnly: true) == [["a", "c"]])
        }
    }

    @Test(.timeLimit(.minutes(1))) func callsInTheWrongPlaceAreRefused() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            let producer = try await producer(node, 2)
            let record = ProducerRecord(topic: "t", text: "a")
            #expect(throws: ClientError.self) { try producer.enqueue(record) }
            var escaped: Transaction?
            try await producer.withTransaction { transaction in
                escaped = transaction
                let inner = await #expect(throws: ClientError.self) { try await producer.withTransaction { _ in } }
                #expect(inner?.code == .invalidState)
            }
            let late = #expect(throws: ClientError.self) { try escaped!.enqueue(record) }
            #expect(late?.code == .invalidState)
            await producer.close()
            let closed = await #expect(throws: ClientError.self) { try await producer.withTransaction { _ in } }
            #expect(closed?.code == .closed)
            let plain = try Producer(configuration: await node.producerConfiguration)
            let without = await #expect(throws: ClientError.self) { try await plain.withTransaction { _ in } }
            #expect(without?.code == .invalidState)
            await plain.close()
        }
    }

    /// One batch too large: the transaction cannot be committed, and the next one can.
    @Test(.timeLimit(.minutes(1)), arguments: [1, 2] as [Int16])
    func aRefusedRecordAbortsTheTransaction(version: Int16) async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 2, [("max.message.bytes", "1000")])
            let producer = try await producer(node, version)
            let error = await #expect(throws: ClientError.self) {
                try await producer.withTransaction { transaction in
                    try transaction.enqueue(ProducerRecord(topic: "t", partition: 1, value: [0x61]))
                    try transaction.enqueue(
                        ProducerRecord(topic: "t", partition: 0, value: [UInt8](repeating: 0x61, count: 5000)))
                }
            }
            #expect(error?.code == .transactionAborted)
            #expect(error?.isRetriable == true)
            for _ in 0..<3 {
                try await producer.withTransaction { transaction in
                    for partition in 0..<2 as Range<Int32> {
                        try transaction.enqueue(ProducerRecord(topic: "t", partition: partition, value: [0x62]))
                    }
                }
            }
            await producer.close()
            #expect(try await node.values("t", committedOnly: true) == [["b", "b", "b"], ["b", "b", "b"]])
        }
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledTaskAborts() async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            let producer = try await producer(node, 2)
            let (sent, continuation) = AsyncStream<Void>.makeStream()
            let task = Task {
                try await producer.withTransaction { transaction in
                    try await transaction.send(ProducerRecord(topic: "t", text: "lost"))
                    continuation.finish()
                    try await Task.sleep(for: .seconds(100))
                }
            }
            for await _ in sent {}
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            try await producer.withTransaction { try $0.enqueue(ProducerRecord(topic: "t", text: "kept")) }
            await producer.close()
            #expect(try await node.values("t", committedOnly: true) == [["kept"]])
        }
    }

    /// It does not stay open until its timeout, in the way of those who read committed records.
    @Test(.timeLimit(.minutes(1)), arguments: [1, 2] as [Int16])
    func aCloseAbortsAnOpenTransaction(version: Int16) async throws {
        try await TestNode.with { node in
            try await node.createTopic("t", partitions: 1)
            let producer = try await producer(node, version)
            let error = await #expect(throws: ClientError.self) {
                try await producer.withTransaction { transaction in
                    try await transaction.send(ProducerRecord(topic: "t", text: "lost"))
                    await producer.close()
                }
            }
            #expect(error?.code == .closed)
            let plain = try Producer(configuration: await node.producerConfiguration)
            try await plain.send(ProducerRecord(topic: "t", text: "kept"))
            await plain.close()
            #expect(try await node.values("t", committedOnly: true) == [["kept"]])
        }
    }
}
