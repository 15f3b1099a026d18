import CoordinatorCore
import KafkaProtocol
import Testing

@testable import TransactionCoordinator

@Suite struct PartitionTests {
    @Test("partitions are added once, and the time-out runs from the first", arguments: Client.allCases)
    func adding(_ client: Client) {
        let harness = TransactionHarness()
        let producer = harness.begin()
        let start = harness.now
        #expect(harness.code(harness.sendAdd("a", producer, [partition(0), partition(0)], client)) == ErrorCode.none)
        harness.advance(by: 10)
        #expect(harness.code(harness.sendAdd("a", producer, [partition(1)], client)) == ErrorCode.none)
        #expect(harness.metadata?.partitions == [partition(0), partition(1)])
        #expect(harness.metadata?.startTimestamp == start)
        #expect(harness.metadata?.lastUpdateTimestamp == start + 10)
        #expect(harness.metadata?.clientTransactionVersion == client.transactionVersion)
        let appended = harness.log.count
        #expect(harness.code(harness.sendAdd("a", producer, [partition(1)], client)) == ErrorCode.none)
        #expect(harness.log.count == appended)
    }

    @Test("who may not add, nor verify")
    func identity() {
        let harness = TransactionHarness()
        var producer = harness.begin()
        #expect(harness.code(harness.sendAdd("b", producer)) == .invalidProducerIdMapping)
        #expect(harness.code(harness.sendVerify("b", producer)) == .invalidProducerIdMapping)
        #expect(harness.code(harness.sendAdd("", producer)) == .invalidRequest)
        #expect(harness.code(harness.sendVerify("", producer)) == .invalidRequest)
        producer.epoch = 1
        #expect(harness.code(harness.sendAdd("a", producer)) == .producerFenced)
        #expect(harness.code(harness.sendAdd("a", producer, version: 2)) == .producerFenced)
        #expect(harness.code(harness.sendAdd("a", producer, version: 1)) == .invalidProducerEpoch)
        #expect(harness.code(harness.sendVerify("a", producer)) == .producerFenced)
        producer.id += 1
        #expect(harness.code(harness.sendAdd("a", producer)) == .invalidProducerIdMapping)
        #expect(harness.code(harness.sendVerify("a", producer)) == .invalidProducerIdMapping)
        #expect(harness.metadata?.state == .empty)
    }

    @Test("verification tells each partition apart, in order")
    func verification() {
        let harness = TransactionHarness()
        let producer = harness.begin()
        let asked = [partition(2), partition(1), partition(1, "u")]
        var token = harness.sendVerify("a", producer, asked)
        #expect(
            harness.replies[token]
                == .verification([.transactionAbortable, .transactionAbortable, .transactionAbortable]))
        harness.sendAdd("a", producer, [partition(1)])
        token = harness.sendVerify("a", producer, asked)
        #expect(harness.replies[token] == .verification([.transactionAbortable, .none, .transactionAbortable]))
        #expect(harness.replies[token]?.codes(count: 3)[1] == ErrorCode.none)
        harness.sendEnd("a", producer, commit: true, .classic)
        token = harness.sendVerify("a", producer, [partition(1)])
        #expect(harness.code(token) == .transactionAbortable)
    }

    @Test("a transaction has at most 10,000 partitions")
    func tooMany() {
        let harness = TransactionHarness()
        let producer = harness.begin()
        #expect(harness.code(harness.sendAdd("a", producer, (0..<9_999).map { partition($0) })) == ErrorCode.none)
        #expect(
            harness.code(harness.sendAdd("a", producer, [partition(1, "u"), partition(2, "u")])) == .invalidRequest)
        #expect(harness.metadata?.partitions.count == 9_999)
        #expect(harness.code(harness.sendAdd("a", producer, [partition(1, "u")])) == ErrorCode.none)
    }

    @Test("a transaction's record fits into a batch")
    func tooLong() {
        let harness = TransactionHarness()
        let producer = harness.begin()
        let topics = (0..<9_000).map { partition(0, String(repeating: "x", count: 240) + "\($0)") }
        #expect(harness.code(harness.sendAdd("a", producer, topics)) == .invalidRequest)
        #expect(harness.metadata?.state == .empty)
        #expect(harness.code(harness.sendAdd("a", producer, Array(topics.prefix(3_900)))) == ErrorCode.none)
    }

    // MARK: While the end is being written

    /// An id with a decided transaction of that client, and the producer that the client goes on as.
    private func prepared(_ client: Client) -> (TransactionHarness, TransactionalProducer) {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        var producer = harness.begin()
        harness.sendAdd("a", producer, [partition(0)], client)
        harness.sendEnd("a", producer, commit: true, client)
        if client == .epochBump { producer.epoch += 1 }
        return (harness, producer)
    }

    @Test("the next transaction begins when the one before is complete", arguments: Client.allCases)
    func waits(_ client: Client) {
        let (harness, producer) = prepared(client)
        let verify = harness.sendVerify("a", producer)
        let add = harness.sendAdd("a", producer, [partition(4)], client)
        harness.advance(by: 499)
        #expect(harness.code(add) == nil && harness.code(verify) == nil)
        harness.completeMarkers()
        #expect(harness.code(verify) == .transactionAbortable)
        #expect(harness.code(add) == ErrorCode.none)
        #expect(harness.metadata?.state == .ongoing && harness.metadata?.partitions == [partition(4)])
        #expect(harness.metadata?.startTimestamp == harness.now)
        #expect(harness.shard.parked.transactionalIds.isEmpty)
    }

    @Test("and its end keeps its place behind what waits", arguments: Client.allCases, [true, false])
    func order(_ client: Client, commit: Bool) {
        let (harness, producer) = prepared(client)
        let add = harness.sendAdd("a", producer, [partition(4)], client)
        let end = harness.sendEnd("a", producer, commit: commit, client)
        #expect(harness.code(add) == nil && harness.code(end) == nil)
        harness.completeMarkers()
        #expect(harness.code(add) == ErrorCode.none && harness.code(end) == ErrorCode.none)
        #expect(harness.metadata?.state == (commit ? .prepareCommit : .prepareAbort))
        #expect(harness.metadata?.partitions == [partition(4)])
    }

    @Test("but the request waits 500 ms only", arguments: Client.allCases)
    func waitsInVain(_ client: Client) {
        let (harness, producer) = prepared(client)
        let early = harness.sendAdd("a", producer)
        harness.advance(by: 200)
        let late = harness.sendVerify("a", producer)
        harness.advance(by: 300)
        #expect(harness.code(early) == .concurrentTransactions && harness.code(late) == nil)
        harness.advance(by: 200)
        #expect(harness.code(late) == .concurrentTransactions)
        harness.completeMarkers()
        #expect(harness.metadata?.state == .completeCommit)
    }

    @Test("and at most sixteen wait")
    func crowd() {
        let (harness, producer) = prepared(.epochBump)
        let waiting = (0..<16).map { _ in harness.sendInit() }
        #expect(harness.code(harness.sendAdd("a", producer)) == .concurrentTransactions)
        harness.completeMarkers()
        #expect(waiting.map { harness.outcome($0)!.producer.epoch } == Array(2...17))
    }

    @Test("a request that meets one transaction after another does not wait for ever")
    func oneAfterAnother() {
        let (harness, producer) = prepared(.epochBump)
        harness.sendAdd("a", producer)
        let token = harness.sendInit()
        harness.advance(by: 400)
        harness.completeMarkers()
        // The parked request began the next transaction, which the other one aborts.
        #expect(harness.metadata?.state == .prepareAbort && harness.outcome(token) == nil)
        harness.advance(by: 100)
        #expect(harness.code(token) == .concurrentTransactions)
    }

    @Test("the producer before does not wait", arguments: [Int16(0), 2])
    func stale(_ epoch: Int16) {
        let (harness, producer) = prepared(.epochBump)
        let other = TransactionalProducer(id: producer.id, epoch: epoch)
        #expect(harness.code(harness.sendAdd("a", other)) == .producerFenced)
        #expect(harness.code(harness.sendVerify("a", other)) == .producerFenced)
    }
}
