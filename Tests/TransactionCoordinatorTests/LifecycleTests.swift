import CoordinatorCore
import KafkaProtocol
import TestSupport
import Testing

@testable import TransactionCoordinator

@Suite struct LifecycleTests {
    @Test("a transaction from the first request to the last", arguments: Client.allCases, [true, false])
    func whole(_ client: Client, commits: Bool) {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        let producer = harness.begin()
        #expect(producer == TransactionalProducer(id: 1_001, epoch: 0))
        #expect(harness.code(harness.sendAdd("a", producer, [partition(3), partition(1)], client)) == ErrorCode.none)
        #expect(harness.metadata?.state == .ongoing)
        #expect(harness.metadata?.startTimestamp == harness.now)
        let end = harness.outcome(harness.sendEnd("a", producer, commit: commits, client))
        #expect(end == (client == .classic ? Outcome(.none) : Outcome(.none, producer.id, 1)))
        #expect(harness.lastRecord?.state == (commits ? .prepareCommit : .prepareAbort))
        let markers = harness.heldMarkers[0]
        #expect(
            markers.end
                == TransactionEnd(
                    producerId: producer.id, producerEpoch: client == .classic ? 0 : 1, isCommit: commits,
                    coordinatorEpoch: 0, transactionVersion: client.transactionVersion))
        #expect(markers.partitions == [partition(1), partition(3)])
        harness.completeMarkers()
        #expect(harness.lastRecord?.state == (commits ? .completeCommit : .completeAbort))
        #expect(harness.lastRecord?.partitions == [])
        #expect(harness.metadata?.producer.epoch == (client == .classic ? 0 : 1))
    }

    @Test("replies and markers wait for the records before them")
    func durability() {
        let harness = TransactionHarness()
        let producer = harness.begin()
        harness.sendAdd("a", producer)
        harness.holdsAppends = true
        harness.holdsMarkers = true
        let end = harness.sendEnd("a", producer, commit: true)
        #expect(harness.outcome(end) == nil && harness.heldMarkers.isEmpty)
        harness.completeAppend()
        #expect(harness.outcome(end)?.code == ErrorCode.none && harness.heldMarkers.count == 1)
    }

    @Test("after a failed append everyone is answered and the machine refuses work")
    func failedAppend() {
        let harness = TransactionHarness()
        let producer = harness.begin()
        harness.sendAdd("a", producer)
        harness.holdsMarkers = true
        harness.sendEnd("a", producer, commit: true)
        let waiting = harness.sendInit()
        harness.holdsAppends = true
        harness.holdsProducerIds = true
        let other = harness.sendInit("b")
        harness.completeTicket()
        harness.completeAppend(error: .notLeaderOrFollower)
        #expect(harness.outcome(other) == Outcome(.notCoordinator))
        #expect(harness.outcome(waiting) == Outcome(.notCoordinator))
        #expect(harness.code(harness.sendAdd("a", producer)) == .notCoordinator)
        #expect(harness.shard.nextDeadline == nil)
        harness.completeMarkers()
        #expect(harness.metadata?.state == .prepareCommit)
    }

    @Test("unloading answers those that wait for a transaction or a producer id")
    func unload() {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        let producer = harness.begin()
        harness.sendAdd("a", producer)
        harness.sendEnd("a", producer, commit: true)
        let first = harness.sendInit()
        harness.holdsProducerIds = true
        let second = harness.sendInit("b")
        harness.event { shard, now, actions in
            shard.unload(error: .notCoordinator, now: now, into: &actions)
        }
        #expect(harness.outcome(first) == Outcome(.notCoordinator))
        #expect(harness.outcome(second) == Outcome(.notCoordinator))
        harness.completeTicket()
        #expect(harness.shard.transactions["b"] == nil)
    }

    @Test("a machine that loads says so to every request")
    func loading() {
        var shard = TransactionCoordinatorShard(configuration: TransactionConfiguration(), coordinatorEpoch: 0)
        var generator = SeededGenerator(seed: 1)
        let context = CoordinatorRequestContext(apiVersion: 5, clientId: "", clientHost: "")
        let producer = TransactionalProducer(id: 1, epoch: 0)
        let requests: [TransactionRequest] = [
            .initProducerId(InitProducerIdRequest()),
            .addPartitions(transactionalId: "a", producer: producer, partitions: [], transactionVersion: 2),
            .verifyPartitions(transactionalId: "a", producer: producer, partitions: [partition(0)]),
            .endTransaction(EndTxnRequest()), .describe(["a"]), .list(ListTransactionsRequest()),
        ]
        let code = ErrorCode.coordinatorLoadInProgress
        for (index, request) in requests.enumerated() {
            var actions: [TransactionAction] = []
            let token = RequestToken(rawValue: UInt64(index))
            shard.handle(
                request, token: token, context: context, now: 0, using: &generator, into: &actions)
            #expect(actions == [.reply(token, .failure(request, apiVersion: 5, code))])
        }
    }

    @Test("after loading, what was decided is carried out with the new epoch", arguments: Client.allCases)
    func loadingPrepared(_ client: Client) {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        let producer = harness.begin()
        harness.sendAdd("a", producer, [partition(0)], client)
        harness.sendEnd("a", producer, commit: true, client)
        let before = harness.heldMarkers[0]
        harness.restart()
        #expect(harness.heldMarkers.count == 1)
        #expect(harness.heldMarkers[0].end.coordinatorEpoch == 1)
        #expect(harness.heldMarkers[0].end.isCommit)
        #expect(harness.heldMarkers[0].ticket == before.ticket)
        harness.completeMarkers()
        #expect(harness.metadata?.state == .completeCommit)
    }

    @Test("a late report about an earlier transaction with the same epoch completes nothing")
    func lateMarkers() {
        let harness = TransactionHarness()
        harness.holdsMarkers = true
        let producer = harness.begin()
        harness.sendAdd("a", producer, [partition(0)], .classic)
        harness.sendEnd("a", producer, commit: true, .classic)
        let first = harness.heldMarkers[0]
        harness.completeMarkers()
        harness.sendAdd("a", producer, [partition(0)], .classic)
        harness.sendEnd("a", producer, commit: true, .classic)
        harness.event { shard, now, actions in shard.markersWritten(first.ticket, now: now, into: &actions) }
        #expect(harness.metadata?.state == .prepareCommit)
        harness.completeMarkers()
        #expect(harness.metadata?.state == .completeCommit)
    }

    @Test("a decided transaction without partitions completes by itself, also when it is loaded")
    func noPartitions() {
        let harness = TransactionHarness()
        var metadata = TransactionMetadata(newProducerId: 7, timeoutMs: 1, now: 5)
        metadata.prepare(isCommit: false, transactionVersion: 2, nextProducerId: -1, now: 6)
        harness.place(metadata)
        #expect(harness.metadata?.state == .completeAbort)
        #expect(harness.lastRecord?.state == .completeAbort)
        #expect(harness.metadata?.producer == TransactionalProducer(id: 7, epoch: 1))
    }

    @Test("the records of one event are split into batches that fit")
    func batches() {
        let harness = TransactionHarness()
        let long = String(repeating: "x", count: 32_000)
        for number in 0..<40 { _ = harness.begin(long + "\(number)") }
        harness.holdsAppends = true
        harness.advance(by: harness.configuration.transactionalIdExpirationMs + 3_600_000)
        #expect(harness.heldAppends.count == 2)
        for append in harness.heldAppends {
            #expect(append.records.reduce(0) { $0 + $1.batchBytes } <= 1_000_000)
            #expect(append.records.allSatisfy { $0.value == nil })
        }
        #expect(harness.shard.transactions.isEmpty)
    }
}
