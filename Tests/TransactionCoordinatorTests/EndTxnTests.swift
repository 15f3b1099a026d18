import CoordinatorCore
import KafkaProtocol
import Testing

@testable import TransactionCoordinator

@Suite struct EndTxnTests {
    enum Expected: CustomStringConvertible {
        case refused(ErrorCode)
        /// Answered with the present epoch, and nothing changed.
        case done
        /// Answered, and decided.
        case decided
        /// Not answered until the transaction is complete.
        case waits

        var description: String {
            switch self {
            case .refused(let code): "\(code)"
            case .done: "done"
            case .decided: "decided"
            case .waits: "waits"
            }
        }
    }

    struct Row: CustomStringConvertible {
        var state: TransactionState
        var commit: Bool
        /// Of the request, as a distance from the epoch that the coordinator holds.
        var epoch: Int16
        var expected: Expected

        init(_ state: TransactionState, _ commit: Bool, _ epoch: Int16, _ expected: Expected) {
            self.state = state
            self.commit = commit
            self.epoch = epoch
            self.expected = expected
        }

        var description: String { "\(state) \(commit ? "commit" : "abort") \(epoch) → \(expected)" }
    }

    /// An id in that state, at producer (70, 5), whose last transaction was of the client's version.
    private static func metadata(_ state: TransactionState, _ client: Client) -> TransactionMetadata {
        var metadata = TransactionMetadata(newProducerId: 70, timeoutMs: 60_000, now: 1_000_000)
        metadata.producer.epoch = 5
        metadata.previousProducerId = 70
        metadata.state = state
        metadata.startTimestamp = state == .empty ? -1 : 1_000_000
        metadata.clientTransactionVersion = client.transactionVersion
        if state == .ongoing || state.isPrepared { metadata.partitions = [partition(0)] }
        return metadata
    }

    private func check(_ row: Row, _ client: Client, _ lastClient: Client) {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        harness.place(Self.metadata(row.state, lastClient))
        let before = harness.metadata
        let appended = harness.log.count
        let producer = TransactionalProducer(id: 70, epoch: 5 + row.epoch)
        let token = harness.sendEnd("a", producer, commit: row.commit, client)
        let identity = client == .classic ? Outcome(.none) : Outcome(.none, 70, harness.metadata!.producer.epoch)
        switch row.expected {
        case .refused(let code): #expect(harness.outcome(token) == Outcome(code), "\(row)")
        case .done: #expect(harness.outcome(token) == identity, "\(row)")
        case .waits: #expect(harness.outcome(token) == nil, "\(row)")
        case .decided:
            #expect(harness.outcome(token) == identity, "\(row)")
            #expect(harness.metadata!.producer.epoch == (client == .classic ? 5 : 6), "\(row)")
            let prepared: TransactionState = row.commit ? .prepareCommit : .prepareAbort
            // Without partitions the transaction is complete at once.
            #expect(harness.metadata?.state == (row.state == .ongoing ? prepared : .completeAbort), "\(row)")
            #expect(harness.log.count == appended + (row.state == .ongoing ? 1 : 2), "\(row)")
            return
        }
        #expect(harness.metadata == before && harness.log.count == appended, "\(row)")
    }

    @Test(
        "each end gives the next epoch, and is known again by it",
        arguments: [
            Row(.empty, false, 0, .decided), Row(.empty, true, 0, .refused(.invalidTxnState)),
            Row(.empty, false, -1, .refused(.producerFenced)), Row(.empty, true, -1, .refused(.producerFenced)),
            Row(.ongoing, false, 0, .decided), Row(.ongoing, true, 0, .decided),
            Row(.ongoing, false, -1, .refused(.producerFenced)), Row(.ongoing, true, 1, .refused(.producerFenced)),
            Row(.prepareCommit, true, -1, .refused(.concurrentTransactions)),
            Row(.prepareCommit, false, -1, .refused(.invalidTxnState)),
            Row(.prepareAbort, false, -1, .refused(.concurrentTransactions)),
            Row(.prepareAbort, true, -1, .refused(.invalidTxnState)),
            Row(.prepareCommit, true, -2, .refused(.producerFenced)),
            Row(.prepareAbort, false, 1, .refused(.producerFenced)),
            Row(.prepareCommit, false, 0, .waits), Row(.prepareAbort, true, 0, .waits),
            Row(.completeCommit, true, -1, .done), Row(.completeCommit, false, -1, .refused(.invalidTxnState)),
            Row(.completeCommit, true, 0, .refused(.invalidTxnState)), Row(.completeCommit, false, 0, .decided),
            Row(.completeCommit, true, -2, .refused(.producerFenced)),
            Row(.completeAbort, false, -1, .done), Row(.completeAbort, true, -1, .refused(.invalidTxnState)),
            Row(.completeAbort, true, 0, .refused(.invalidTxnState)), Row(.completeAbort, false, 0, .decided),
            Row(.completeAbort, false, 1, .refused(.producerFenced)),
        ])
    func withEpochBump(_ row: Row) {
        check(row, .epochBump, .epochBump)
    }

    @Test(
        "a producer that keeps its epoch is known by the outcome",
        arguments: [
            Row(.empty, false, 0, .refused(.invalidTxnState)), Row(.empty, true, 0, .refused(.invalidTxnState)),
            Row(.ongoing, false, 0, .decided), Row(.ongoing, true, 0, .decided),
            Row(.ongoing, true, -1, .refused(.producerFenced)), Row(.ongoing, true, 1, .refused(.producerFenced)),
            Row(.prepareCommit, true, 0, .refused(.concurrentTransactions)),
            Row(.prepareCommit, false, 0, .refused(.invalidTxnState)),
            Row(.prepareAbort, false, 0, .refused(.concurrentTransactions)),
            Row(.prepareAbort, true, 0, .refused(.invalidTxnState)),
            Row(.completeCommit, true, 0, .done), Row(.completeCommit, false, 0, .refused(.invalidTxnState)),
            Row(.completeAbort, false, 0, .done), Row(.completeAbort, true, 0, .refused(.invalidTxnState)),
            Row(.completeCommit, true, -1, .refused(.producerFenced)),
        ])
    func classic(_ row: Row) {
        check(row, .classic, .classic)
    }

    @Test(
        "a producer that was fenced before a classic transaction does not take its end for its own",
        arguments: [
            Row(.prepareCommit, true, -1, .refused(.producerFenced)),
            Row(.completeCommit, true, -1, .refused(.producerFenced)),
            Row(.completeAbort, false, -1, .refused(.producerFenced)),
        ])
    func mixed(_ row: Row) {
        check(row, .epochBump, .classic)
    }

    @Test(
        "nor does a classic producer take the end of the epoch before for its own",
        arguments: [
            Row(.prepareCommit, true, 0, .refused(.invalidTxnState)),
            Row(.completeCommit, true, 0, .refused(.invalidTxnState)),
            Row(.completeAbort, false, 0, .refused(.invalidTxnState)),
        ])
    func mixedTheOtherWay(_ row: Row) {
        check(row, .classic, .epochBump)
    }

    @Test("another producer id, no such id, no id", arguments: Client.allCases)
    func identity(_ client: Client) {
        let harness = TransactionHarness()
        harness.place(Self.metadata(.ongoing, client))
        let producer = TransactionalProducer(id: 71, epoch: 5)
        #expect(harness.code(harness.sendEnd("a", producer, commit: true, client)) == .invalidProducerIdMapping)
        #expect(harness.code(harness.sendEnd("b", producer, commit: true, client)) == .invalidProducerIdMapping)
        #expect(harness.code(harness.sendEnd("", producer, commit: true, client)) == .invalidRequest)
        let long = String(repeating: "x", count: 32_768)
        #expect(harness.code(harness.sendEnd(long, producer, commit: true, client)) == .invalidRequest)
    }

    @Test("clients before version 2 know no PRODUCER_FENCED", arguments: [Int16(0), 1, 2, 4])
    func oldVersions(_ version: Int16) {
        let harness = TransactionHarness()
        harness.place(Self.metadata(.ongoing, .classic))
        let stale = TransactionalProducer(id: 70, epoch: 4)
        #expect(
            harness.code(harness.sendEnd("a", stale, commit: true, version: version))
                == (version < 2 ? .invalidProducerEpoch : .producerFenced))
    }

    // MARK: The last epoch

    @Test("the last epoch ends with a new producer id", arguments: [true, false])
    func lastEpoch(_ commits: Bool) {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        var metadata = Self.metadata(.ongoing, .epochBump)
        metadata.producer.epoch = 32_766
        harness.place(metadata)
        let old = metadata.producer
        let new = TransactionalProducer(id: 1_001, epoch: 0)
        #expect(harness.outcome(harness.sendEnd("a", old, commit: commits)) == Outcome(.none, 1_001, 0))
        #expect(harness.heldMarkers[0].end.producerId == 70 && harness.heldMarkers[0].end.producerEpoch == 32_767)
        #expect(harness.code(harness.sendEnd("a", old, commit: commits)) == .concurrentTransactions)
        #expect(harness.code(harness.sendEnd("a", old, commit: !commits)) == .invalidTxnState)
        // The client may go on with what it was given.
        let add = harness.sendAdd("a", new)
        #expect(harness.code(add) == nil)
        harness.restart()
        harness.completeMarkers()
        #expect(harness.metadata?.producer == new)
        #expect(harness.metadata?.previousProducerId == 70)
        #expect(harness.metadata?.nextProducerId == -1)
        #expect(harness.outcome(harness.sendEnd("a", old, commit: commits)) == Outcome(.none, 1_001, 0))
        #expect(harness.code(harness.sendEnd("a", old, commit: !commits)) == .invalidTxnState)
        #expect(harness.code(harness.sendAdd("a", old)) == .invalidProducerIdMapping)
        #expect(harness.code(harness.sendAdd("a", new)) == ErrorCode.none)
        #expect(harness.code(harness.sendEnd("a", old, commit: commits)) == .invalidProducerIdMapping)
    }

    @Test("the last epoch waits for a producer id, and says why there is none")
    func noProducerId() {
        let harness = TransactionHarness()
        var metadata = Self.metadata(.ongoing, .epochBump)
        metadata.producer.epoch = 32_766
        harness.place(metadata)
        harness.holdsProducerIds = true
        let first = harness.sendEnd("a", metadata.producer, commit: true)
        let second = harness.sendEnd("a", metadata.producer, commit: true)
        #expect(harness.outcome(first) == nil && harness.heldTickets.count == 1)
        harness.completeTicket(.failure(ProducerIdError(code: .coordinatorLoadInProgress)))
        #expect(harness.code(first) == .coordinatorLoadInProgress)
        #expect(harness.code(second) == .coordinatorLoadInProgress)
        #expect(harness.metadata?.state == .ongoing)
        let third = harness.sendEnd("a", metadata.producer, commit: true)
        harness.holdsMarkers = true
        harness.completeTicket()
        #expect(harness.outcome(third) == Outcome(.none, 1_002, 0))
    }

    @Test("a classic client keeps the last epoch")
    func classicLastEpoch() {
        let harness = TransactionHarness()
        var metadata = Self.metadata(.ongoing, .classic)
        metadata.producer.epoch = 32_766
        harness.place(metadata)
        #expect(harness.code(harness.sendEnd("a", metadata.producer, commit: true, .classic)) == ErrorCode.none)
        #expect(harness.metadata?.producer == metadata.producer && harness.metadata?.state == .completeCommit)
    }

    @Test("an epoch that no client should have overflows nothing", arguments: [true, false])
    func beyondTheLastEpoch(_ commits: Bool) {
        let harness = TransactionHarness()
        var metadata = Self.metadata(.ongoing, .epochBump)
        metadata.producer.epoch = 32_767
        harness.place(metadata)
        #expect(
            harness.outcome(harness.sendEnd("a", metadata.producer, commit: commits)) == Outcome(.none, 1_001, 0))
        #expect(harness.metadata?.producer == TransactionalProducer(id: 1_001, epoch: 0))
    }
}
