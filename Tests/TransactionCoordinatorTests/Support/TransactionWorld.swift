import CoordinatorCore
import KafkaProtocol
import TestSupport

@testable import TransactionCoordinator

/// Random producers of a few transactional ids, with stale, repeated and delayed requests, markers and producer ids
/// that come late, appends that fail, coordinators that die, and a clock that is not steady. Everything that becomes
/// durable or is answered is checked against the model.
struct TransactionWorld {
    static let ids = ["a", "b", "c"]

    struct Producer {
        let transactionalId: String
        let client: Client
        var identity: TransactionalProducer?
    }

    struct Sent {
        let request: TransactionRequest
        let version: Int16
        let producer: Int
    }

    let harness: TransactionHarness
    var generator: SeededGenerator
    var model = TransactionLogModel()
    var problems: [String] = []
    /// What was reached, so that a test can tell that something happened.
    var counts: [String: Int] = [:]
    var producers: [Producer] = []
    var open: [RequestToken: Sent] = [:]
    var history: [Sent] = []
    var delayed: [Sent] = []
    var identities: [String: [TransactionalProducer]] = [:]
    /// Which decisions the harness's held markers carry out.
    var heldDecisions: [Int] = []
    /// Ends that were being written when their coordinator died.
    var orphans: [(ticket: MarkersTicket, decision: Int)] = []
    var reported: [MarkersTicket] = []
    /// What a coordinator would know that reads the log as soon as all appends are durable.
    var written: [String: TransactionMetadata] = [:]
    var takenActions = 0
    var takenRecords = 0

    init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
        var configuration = TransactionConfiguration()
        configuration.transactionalIdExpirationMs = 60_000
        configuration.expirationCheckIntervalMs = 5_000
        harness = TransactionHarness(configuration)
        for id in Self.ids {
            for _ in 0..<2 {
                producers.append(Producer(transactionalId: id, client: chance(50) ? .classic : .epochBump))
            }
            guard chance(30) else { continue }
            // Close to the last epoch.
            var metadata = TransactionMetadata(newProducerId: 500, timeoutMs: 5_000, now: harness.now)
            metadata.producer.epoch = .random(in: 32_760...32_766, using: &generator)
            metadata.previousProducerId = 500
            harness.place(metadata, at: id)
            model.start(id, metadata)
            written[id] = metadata
            identities[id] = [metadata.producer]
        }
        takenActions = harness.actions.count
        takenRecords = harness.log.count
        harness.holdsAppends = true
        harness.holdsMarkers = true
        harness.holdsProducerIds = true
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }

    // MARK: Steps

    mutating func step() {
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<46: act()
        case 46..<50: if let sent = history.randomElement(using: &generator) { deliver(sent) }
        case 50..<54:
            if let index = delayed.indices.randomElement(using: &generator) { deliver(delayed.remove(at: index)) }
        case 54..<72: if !harness.heldAppends.isEmpty { harness.completeAppend() }
        case 72..<82: completeMarkers()
        case 82..<86: if !harness.heldTickets.isEmpty { harness.completeTicket(chance(20) ? Self.noProducerId : nil) }
        case 86..<88: reportStaleMarkers()
        case 88..<95: harness.advance(by: .random(in: 0...700, using: &generator))
        case 95: harness.advance(by: .random(in: 5_000...80_000, using: &generator))
        case 96: harness.now -= .random(in: 0...3_000, using: &generator)
        case 97: failAnAppend()
        case 98: crash()
        default: query()
        }
        settle()
    }

    private static let noProducerId = Result<Int64, ProducerIdError>.failure(
        ProducerIdError(code: .coordinatorLoadInProgress))

    private mutating func act() {
        let index = producers.indices.randomElement(using: &generator)!
        let producer = producers[index]
        let id = producer.transactionalId
        let stale = chance(15) ? identities[id]?.randomElement(using: &generator) : nil
        let identity = stale ?? producer.identity
        let choice = Int.random(in: 0..<100, using: &generator)
        let sent: Sent
        if identity == nil || choice < 8 {
            var request = InitProducerIdRequest()
            request.transactionalId = id
            request.transactionTimeoutMs = .random(in: 500...20_000, using: &generator)
            if let identity, chance(60) {
                request.producerId = identity.id
                request.producerEpoch = identity.epoch
            }
            sent = Sent(request: .initProducerId(request), version: 5, producer: index)
        } else if choice < 45 {
            let request = TransactionRequest.addPartitions(
                transactionalId: id, producer: identity!, partitions: randomPartitions(),
                transactionVersion: producer.client.transactionVersion)
            sent = Sent(request: request, version: producer.client.addVersion, producer: index)
        } else if choice < 55 {
            let request = TransactionRequest.verifyPartitions(
                transactionalId: id, producer: identity!, partitions: randomPartitions())
            sent = Sent(request: request, version: 11, producer: index)
        } else {
            var request = EndTxnRequest()
            request.transactionalId = id
            request.producerId = identity!.id
            request.producerEpoch = identity!.epoch
            request.committed = chance(60)
            sent = Sent(
                request: .endTransaction(request), version: producer.client.endTxnVersion, producer: index)
        }
        history.append(sent)
        if chance(12) { delayed.append(sent) } else { deliver(sent) }
    }

    private mutating func randomPartitions() -> [TransactionPartition] {
        (0..<Int.random(in: chance(3) ? 0...0 : 1...3, using: &generator)).map { _ in
            partition(.random(in: 0..<6, using: &generator))
        }
    }

    private mutating func deliver(_ sent: Sent) {
        if case .endTransaction(let request) = sent.request {
            let owner = TransactionalProducer(id: request.producerId, epoch: request.producerEpoch)
            model.requestedEnds.insert(
                TransactionLogModel.Decision(
                    transactionalId: request.transactionalId, owner: owner, isCommit: request.committed))
        }
        open[harness.send(sent.request, version: sent.version)] = sent
    }

    private mutating func query() {
        let sent = Sent(request: .describe(Self.ids), version: 0, producer: 0)
        open[harness.send(sent.request, version: 0)] = sent
    }

    // MARK: The driver's part

    private mutating func completeMarkers() {
        guard let index = harness.heldMarkers.indices.randomElement(using: &generator) else { return }
        let ticket = harness.heldMarkers[index].ticket
        reported.append(ticket)
        model.settle(ticket.transactionalId, decision: heldDecisions.remove(at: index))
        harness.completeMarkers(at: index)
    }

    /// A report that comes twice, or to the coordinator after the one that asked.
    private mutating func reportStaleMarkers() {
        if !orphans.isEmpty, chance(50) {
            let orphan = orphans.removeFirst()
            model.settle(orphan.ticket.transactionalId, decision: orphan.decision)
            reported.append(orphan.ticket)
        }
        guard let ticket = reported.randomElement(using: &generator) else { return }
        harness.event { shard, now, actions in shard.markersWritten(ticket, now: now, into: &actions) }
    }

    /// The log decides whether the batch that failed is there; none after it is.
    private mutating func failAnAppend() {
        guard let first = harness.heldAppends.first else { return }
        if chance(50) { harness.log += first.records }
        harness.completeAppend(error: .notEnoughReplicasAfterAppend)
        settle(comparing: false)
        if !open.isEmpty { problems.append("not everyone was told that the append failed") }
        reload()
        count("failed append")
    }

    private mutating func crash() {
        for _ in 0..<Int.random(in: 0...harness.heldAppends.count, using: &generator) {
            harness.log += harness.heldAppends.removeFirst().records
        }
        settle(comparing: false)
        // Their connections end with the coordinator.
        open = [:]
        reload()
        count("crash")
    }

    private mutating func reload() {
        orphans += zip(harness.heldMarkers, heldDecisions).map { (ticket: $0.ticket, decision: $1) }
        heldDecisions = []
        harness.restart()
        written = [:]
        for id in Self.ids { written[id] = model.current(id) }
    }

    /// Lets everything come to its end.
    mutating func finish() {
        for _ in 0..<200 {
            while !harness.heldAppends.isEmpty {
                harness.completeAppend()
                settle()
            }
            if !harness.heldTickets.isEmpty { harness.completeTicket() }
            settle()
            if !harness.heldMarkers.isEmpty { completeMarkers() }
            settle()
            if harness.heldAppends.isEmpty && harness.heldTickets.isEmpty && harness.heldMarkers.isEmpty { break }
        }
        if !open.isEmpty { problems.append("\(open.count) requests were never answered") }
        for id in Self.ids where model.current(id)?.state.isPrepared == true {
            problems.append("\(id) was decided and never completed")
        }
        let replayed = TransactionHarness.replayed(harness.log, harness.configuration, coordinatorEpoch: 0)
        if replayed.transactions != harness.shard.transactions.mapValues(\.persisted) {
            problems.append("the log tells another story")
        }
    }
}
