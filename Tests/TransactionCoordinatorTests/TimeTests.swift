import CoordinatorCore
import KafkaProtocol
import Testing

@testable import TransactionCoordinator

@Suite struct TimeTests {
    @Test("a transaction that takes too long is aborted, and its producer fenced", arguments: Client.allCases)
    func timeout(_ client: Client) {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        let producer = harness.begin("a", timeoutMs: 1_000)
        harness.advance(by: 50_000)
        harness.sendAdd("a", producer, [partition(0)], client)
        harness.advance(by: 900)
        harness.sendAdd("a", producer, [partition(1)], client)
        harness.advance(by: 99)
        #expect(harness.metadata?.state == .ongoing)
        harness.advance(by: 1)
        #expect(harness.metadata?.state == .prepareAbort)
        #expect(harness.heldMarkers[0].end.producerEpoch == 1)
        #expect(harness.heldMarkers[0].partitions.count == 2)
        let code: ErrorCode = client == .classic ? .producerFenced : .invalidTxnState
        #expect(harness.code(harness.sendEnd("a", producer, commit: true, client)) == code)
        harness.completeMarkers()
        #expect(harness.metadata?.state == .completeAbort)
        #expect(harness.code(harness.sendEnd("a", producer, commit: true, client)) == code)
        #expect(harness.code(harness.sendAdd("a", producer, [partition(0)], client)) == .producerFenced)
        // A client of version 2 learns its next epoch by aborting what was aborted.
        let abort = harness.outcome(harness.sendEnd("a", producer, commit: false, client))
        #expect(abort == (client == .classic ? Outcome(.producerFenced) : Outcome(.none, producer.id, 1)))
    }

    @Test("one that ended in time is not aborted")
    func inTime() {
        let harness = TransactionHarness()
        let producer = harness.begin("a", timeoutMs: 1_000)
        harness.sendAdd("a", producer, [partition(0)], .classic)
        harness.advance(by: 999)
        harness.sendEnd("a", producer, commit: true, .classic)
        harness.sendAdd("a", producer, [partition(0)], .classic)
        harness.advance(by: 999)
        #expect(harness.metadata?.state == .ongoing && harness.metadata?.producer == producer)
        harness.advance(by: 1)
        #expect(harness.metadata?.state == .completeAbort)
    }

    @Test("time passes while no coordinator is there")
    func timeoutAfterLoading() {
        let harness = TransactionHarness()
        let producer = harness.begin("a", timeoutMs: 1_000)
        harness.sendAdd("a", producer)
        harness.now += 600
        harness.restart()
        #expect(harness.metadata?.state == .ongoing)
        harness.advance(by: 400)
        #expect(harness.metadata?.state == .completeAbort)
        harness.sendAdd("a", harness.metadata!.producer)
        harness.now += 5_000
        harness.restart()
        harness.advance(by: 0)
        #expect(harness.metadata?.state == .completeAbort)
    }

    @Test("a time-out at the last epoch gets its producer id in the end")
    func timeoutAtTheLastEpoch() {
        let harness = TransactionHarness()
        var metadata = TransactionMetadata(newProducerId: 70, timeoutMs: 1_000, now: harness.now)
        metadata.producer.epoch = 32_766
        metadata.add([partition(0)], clientTransactionVersion: 2, now: harness.now)
        harness.place(metadata)
        harness.holdsProducerIds = true
        harness.advance(by: 1_000)
        #expect(harness.heldTickets.count == 1 && harness.metadata?.state == .ongoing)
        harness.completeTicket(.failure(ProducerIdError(code: .coordinatorNotAvailable)))
        harness.advance(by: 999)
        #expect(harness.heldTickets.isEmpty)
        harness.advance(by: 1)
        harness.completeTicket()
        #expect(harness.metadata?.state == .completeAbort)
        #expect(harness.metadata?.producer == TransactionalProducer(id: 1_002, epoch: 0))
        let abort = harness.sendEnd("a", metadata.producer, commit: false)
        #expect(harness.outcome(abort) == Outcome(.none, 1_002, 0))
        #expect(harness.code(harness.sendEnd("a", metadata.producer, commit: true)) == .invalidTxnState)
    }

    @Test("a producer id that comes when it is no longer needed changes nothing")
    func unneededProducerId() {
        let harness = TransactionHarness()
        var metadata = TransactionMetadata(newProducerId: 70, timeoutMs: 1_000, now: harness.now)
        metadata.producer.epoch = 32_766
        metadata.add([partition(0)], clientTransactionVersion: 0, now: harness.now)
        harness.place(metadata)
        harness.holdsProducerIds = true
        harness.advance(by: 1_000)
        harness.sendEnd("a", metadata.producer, commit: true, .classic)
        let before = harness.metadata
        harness.completeTicket()
        #expect(harness.metadata == before && before?.state == .completeCommit)
        // Nor is it kept.
        let token = harness.sendInit()
        #expect(harness.outcome(token) == nil && harness.heldTickets.count == 1)
    }

    @Test("a clock that goes back ends nothing early and names no decision twice")
    func clockGoesBack() {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        let producer = harness.begin("a", timeoutMs: 1_000)
        var tickets: Set<MarkersTicket> = []
        for _ in 0..<3 {
            harness.now -= 10_000
            harness.sendAdd("a", producer, [partition(0)], .classic)
            #expect(harness.metadata?.startTimestamp == harness.now)
            harness.sendEnd("a", producer, commit: true, .classic)
            tickets.insert(harness.heldMarkers[0].ticket)
            harness.completeMarkers()
        }
        #expect(tickets.count == 3)
    }

    @Test("idle ids are forgotten after their time", arguments: TransactionState.allCases)
    func expiration(_ state: TransactionState) {
        var configuration = TransactionConfiguration()
        configuration.transactionalIdExpirationMs = 10_000
        configuration.expirationCheckIntervalMs = 100
        let harness = TransactionHarness(configuration)
        harness.holdsMarkers = true
        var metadata = TransactionMetadata(newProducerId: 70, timeoutMs: 900_000, now: harness.now)
        metadata.state = state
        metadata.startTimestamp = harness.now
        if state != .empty { metadata.partitions = [partition(0)] }
        harness.place(metadata)
        harness.advance(by: 9_999)
        let isHeld = state != .dead
        #expect((harness.metadata != nil) == isHeld)
        let appended = harness.log.count
        harness.advance(by: 101)
        #expect((harness.metadata == nil) == (state.isIdle || !isHeld))
        #expect(harness.log.count == appended + (state.isIdle ? 1 : 0))
        if state.isIdle {
            #expect(harness.log.last == TransactionRecord.encode("a", nil))
            harness.restart()
            #expect(harness.metadata == nil)
        }
    }
}
