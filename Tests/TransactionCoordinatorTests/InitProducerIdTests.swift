import CoordinatorCore
import KafkaProtocol
import Testing

@testable import TransactionCoordinator

@Suite struct InitProducerIdTests {
    private static func metadata(_ state: TransactionState, epoch: Int16 = 5) -> TransactionMetadata {
        var metadata = TransactionMetadata(newProducerId: 70, timeoutMs: 60_000, now: 1_000_000)
        metadata.producer.epoch = epoch
        metadata.previousProducerId = 70
        metadata.state = state
        metadata.startTimestamp = state == .empty ? -1 : 1_000_000
        metadata.clientTransactionVersion = 2
        if state == .ongoing || state.isPrepared { metadata.partitions = [partition(0)] }
        return metadata
    }

    @Test("a new id gets a producer id, its own time-out, and is written")
    func new() {
        let harness = TransactionHarness()
        harness.holdsProducerIds = true
        harness.holdsAppends = true
        let token = harness.sendInit("a", timeoutMs: 5)
        #expect(harness.log.isEmpty && harness.outcome(token) == nil)
        harness.completeTicket()
        #expect(harness.outcome(token) == nil)
        harness.completeAppend()
        #expect(harness.outcome(token) == Outcome(.none, 1_001, 0))
        #expect(harness.lastRecord == TransactionMetadata(newProducerId: 1_001, timeoutMs: 5, now: harness.now))
    }

    @Test("a ticket does not wait for appends of others")
    func ticketsAreNotHeld() {
        let harness = TransactionHarness()
        harness.holdsAppends = true
        _ = harness.sendInit("a")
        harness.holdsProducerIds = true
        _ = harness.sendInit("b")
        #expect(harness.heldAppends.count == 1 && harness.heldTickets.map(\.transactionalId) == ["b"])
    }

    @Test("two that begin at once get two epochs of one producer id")
    func twoNew() {
        let harness = TransactionHarness()
        harness.holdsProducerIds = true
        let first = harness.sendInit()
        let second = harness.sendInit()
        #expect(harness.heldTickets.count == 1)
        harness.completeTicket()
        #expect(harness.outcome(first) == Outcome(.none, 1_001, 0))
        #expect(harness.outcome(second) == Outcome(.none, 1_001, 1))
    }

    @Test("without a producer id the reason is told, and nothing is remembered")
    func noProducerId() {
        let harness = TransactionHarness()
        harness.holdsProducerIds = true
        let token = harness.sendInit()
        let ticket = harness.heldTickets[0]
        harness.completeTicket(.failure(ProducerIdError(code: .coordinatorNotAvailable)))
        #expect(harness.outcome(token) == Outcome(.coordinatorNotAvailable))
        harness.event { shard, now, actions in
            shard.producerIdAllocated(ticket, .success(9), now: now, into: &actions)
        }
        #expect(harness.shard.transactions.isEmpty && harness.log.isEmpty)
    }

    @Test("what a request must not say")
    func invalid() {
        var configuration = TransactionConfiguration()
        configuration.transactionMaxTimeoutMs = 100
        let harness = TransactionHarness(configuration)
        #expect(harness.outcome(harness.sendInit(nil, timeoutMs: 1)) == Outcome(.invalidRequest))
        #expect(harness.outcome(harness.sendInit("", timeoutMs: 1)) == Outcome(.invalidRequest))
        let long = String(repeating: "é", count: 16_384)
        #expect(harness.outcome(harness.sendInit(long, timeoutMs: 1)) == Outcome(.invalidRequest))
        for timeout: Int32 in [0, -1, 101, .max, .min] {
            #expect(harness.outcome(harness.sendInit("a", timeoutMs: timeout)) == Outcome(.invalidTransactionTimeout))
        }
        #expect(harness.outcome(harness.sendInit("a", timeoutMs: 100))?.code == ErrorCode.none)
        for (id, epoch) in [(Int64(-1), Int16(3)), (3, -1)] {
            let half = TransactionalProducer(id: id, epoch: epoch)
            #expect(harness.outcome(harness.sendInit("a", timeoutMs: 1, expecting: half)) == Outcome(.invalidRequest))
        }
        var request = InitProducerIdRequest()
        request.transactionalId = "a"
        request.transactionTimeoutMs = 1
        request.keepPreparedTxn = true
        #expect(
            harness.outcome(harness.send(.initProducerId(request), version: 6)) == Outcome(.unsupportedVersion))
        request.enable2Pc = true
        #expect(
            harness.outcome(harness.send(.initProducerId(request), version: 6))
                == Outcome(.transactionalIdAuthorizationFailed))
    }

    @Test("one that begins gets the next epoch", arguments: [TransactionState.empty, .completeCommit, .completeAbort])
    func begins(_ state: TransactionState) {
        let harness = TransactionHarness()
        harness.place(Self.metadata(state))
        #expect(harness.outcome(harness.sendInit("a", timeoutMs: 9)) == Outcome(.none, 70, 6))
        #expect(harness.metadata?.state == .empty && harness.metadata?.startTimestamp == -1)
        #expect(harness.metadata?.timeoutMs == 9 && harness.metadata?.lastProducerEpoch == -1)
    }

    @Test(
        "one that goes on is known by its epoch (KIP-360)",
        arguments: [
            (Int64(70), Int16(5), Outcome(.none, 70, 6)), (70, 4, Outcome(.none, 70, 5)),
            (70, 3, Outcome(.producerFenced)), (70, 6, Outcome(.producerFenced)), (71, 5, Outcome(.producerFenced)),
            (70, -7, Outcome(.producerFenced)),
        ])
    func goesOn(_ id: Int64, _ epoch: Int16, _ expected: Outcome) {
        for state in [TransactionState.empty, .completeCommit, .completeAbort] {
            let harness = TransactionHarness()
            var metadata = Self.metadata(state)
            metadata.lastProducerEpoch = 4
            harness.place(metadata)
            let producer = TransactionalProducer(id: id, epoch: epoch)
            #expect(harness.outcome(harness.sendInit("a", expecting: producer)) == expected)
            // And again, as the answer may have been lost.
            if expected.code == .none {
                #expect(harness.outcome(harness.sendInit("a", expecting: producer)) == expected)
            }
        }
    }

    @Test("one whose id is forgotten goes on with a new one")
    func forgotten() {
        let harness = TransactionHarness()
        let producer = TransactionalProducer(id: 9, epoch: 9)
        #expect(harness.outcome(harness.sendInit("a", expecting: producer)) == Outcome(.none, 1_001, 0))
    }

    @Test("after the last epoch comes a new producer id", arguments: [Int16(32_766), 32_767])
    func exhausted(_ epoch: Int16) {
        let harness = TransactionHarness()
        harness.place(Self.metadata(.completeCommit, epoch: epoch))
        #expect(harness.outcome(harness.sendInit()) == Outcome(.none, 1_001, 0))
        #expect(harness.metadata?.previousProducerId == 70 && harness.metadata?.lastProducerEpoch == -1)
    }

    @Test("one that goes on after the last epoch may repeat its request; others may not")
    func exhaustedAndRepeated() {
        let harness = TransactionHarness()
        harness.place(Self.metadata(.empty, epoch: 32_766))
        let stale = TransactionalProducer(id: 70, epoch: 32_765)
        #expect(harness.outcome(harness.sendInit("a", expecting: stale)) == Outcome(.producerFenced))
        let last = TransactionalProducer(id: 70, epoch: 32_766)
        for _ in 0..<3 {
            #expect(harness.outcome(harness.sendInit("a", expecting: last)) == Outcome(.none, 1_001, 0))
        }
        #expect(harness.outcome(harness.sendInit("a", expecting: stale)) == Outcome(.producerFenced))
    }

    @Test("an open transaction is aborted first, with the next epoch")
    func fencing() {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        harness.place(Self.metadata(.ongoing))
        let old = TransactionalProducer(id: 70, epoch: 5)
        let first = harness.sendInit()
        let second = harness.sendInit()
        #expect(harness.outcome(first) == nil)
        #expect(harness.lastRecord?.state == .prepareAbort && harness.lastRecord?.clientTransactionVersion == 2)
        let end = harness.heldMarkers[0].end
        #expect(end.producerEpoch == 6 && !end.isCommit && end.transactionVersion == 2)
        #expect(harness.code(harness.sendAdd("a", old)) == .producerFenced)
        #expect(harness.code(harness.sendEnd("a", old, commit: true)) == .invalidTxnState)
        #expect(harness.code(harness.sendEnd("a", old, commit: true, .classic)) == .producerFenced)
        harness.completeMarkers()
        #expect(harness.outcome(first) == Outcome(.none, 70, 7))
        #expect(harness.outcome(second) == Outcome(.none, 70, 8))
        #expect(harness.code(harness.sendEnd("a", old, commit: true)) == .producerFenced)
    }

    @Test("the producer of an open transaction may give it up; a predecessor may not end it")
    func givingUp() {
        let harness = TransactionHarness()
        var metadata = Self.metadata(.ongoing)
        metadata.lastProducerEpoch = 4
        harness.place(metadata)
        let before = TransactionalProducer(id: 70, epoch: 4)
        #expect(harness.outcome(harness.sendInit("a", expecting: before)) == Outcome(.producerFenced))
        #expect(harness.metadata?.state == .ongoing)
        // The abort has given the next epoch already.
        #expect(harness.outcome(harness.sendInit("a", expecting: metadata.producer)) == Outcome(.none, 70, 6))
        #expect(harness.metadata?.state == .empty)
    }

    @Test("fencing at the last epoch takes a new producer id")
    func fencingAtTheLastEpoch() {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        harness.holdsProducerIds = true
        harness.place(Self.metadata(.ongoing, epoch: 32_766))
        let token = harness.sendInit()
        #expect(harness.metadata?.state == .ongoing)
        harness.completeTicket()
        #expect(harness.heldMarkers[0].end.producerId == 70 && harness.heldMarkers[0].end.producerEpoch == 32_767)
        harness.completeMarkers()
        #expect(harness.outcome(token) == Outcome(.none, 1_001, 1))
    }

    @Test("clients before version 4 know no PRODUCER_FENCED", arguments: [Int16(3), 4])
    func oldVersions(_ version: Int16) {
        let harness = TransactionHarness()
        harness.place(Self.metadata(.empty))
        let stale = TransactionalProducer(id: 70, epoch: 1)
        #expect(
            harness.outcome(harness.sendInit("a", expecting: stale, version: version))
                == Outcome(version < 4 ? .invalidProducerEpoch : .producerFenced))
    }

    @Test("a decided transaction is waited for", arguments: [TransactionState.prepareCommit, .prepareAbort])
    func waits(_ state: TransactionState) {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        harness.place(Self.metadata(state))
        let token = harness.sendInit()
        let successor = harness.sendInit("a", expecting: TransactionalProducer(id: 70, epoch: 5))
        #expect(harness.outcome(token) == nil)
        harness.completeMarkers()
        #expect(harness.outcome(token) == Outcome(.none, 70, 6))
        #expect(harness.outcome(successor) == Outcome(.producerFenced))
    }
}
