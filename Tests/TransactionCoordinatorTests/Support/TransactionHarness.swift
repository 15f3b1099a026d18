import CoordinatorCore
import KafkaProtocol
import TestSupport

@testable import TransactionCoordinator

/// A driver with a log in memory. Appends become durable, markers are written and producer ids are handed out at once,
/// unless they are held.
final class TransactionHarness {
    var shard: TransactionCoordinatorShard
    let configuration: TransactionConfiguration
    var coordinatorEpoch: Int32 = 0
    var log: [CoordinatorRecord] = []
    var replies: [RequestToken: TransactionResponse] = [:]
    /// All that the shard asked for, in order.
    var actions: [TransactionAction] = []
    var heldAppends: [(records: [CoordinatorRecord], token: AppendToken)] = []
    var heldMarkers: [TransactionMarkers] = []
    var heldTickets: [ProducerIdTicket] = []
    var holdsAppends = false
    var holdsMarkers = false
    var holdsProducerIds = false
    var nextProducerId: Int64 = 1_000
    var now: Int64 = 1_000_000
    private var generator = SeededGenerator(seed: 1)
    private var nextToken: UInt64 = 1

    init(_ configuration: TransactionConfiguration = TransactionConfiguration()) {
        self.configuration = configuration
        shard = TransactionCoordinatorShard(configuration: configuration, coordinatorEpoch: 0)
        load()
    }

    static func replayed(
        _ log: [CoordinatorRecord], _ configuration: TransactionConfiguration, coordinatorEpoch: Int32
    ) -> TransactionCoordinatorShard {
        var shard = TransactionCoordinatorShard(configuration: configuration, coordinatorEpoch: coordinatorEpoch)
        for record in log {
            do {
                try shard.replay(key: record.key, value: record.value, by: nil)
            } catch {
                fatalError("cannot replay: \(error)")
            }
        }
        return shard
    }

    private func load() {
        shard = Self.replayed(log, configuration, coordinatorEpoch: coordinatorEpoch)
        event { shard, now, actions in shard.finishLoading(now: now, into: &actions) }
    }

    /// The coordinator dies and another one reads the log.
    func restart() {
        heldAppends = []
        heldMarkers = []
        heldTickets = []
        coordinatorEpoch += 1
        load()
    }

    // MARK: Events

    func event(_ body: (inout TransactionCoordinatorShard, Int64, inout [TransactionAction]) -> Void) {
        var requested: [TransactionAction] = []
        body(&shard, now, &requested)
        carryOut(requested)
    }

    @discardableResult
    func send(_ request: TransactionRequest, version: Int16) -> RequestToken {
        let token = RequestToken(rawValue: nextToken)
        nextToken += 1
        let context = CoordinatorRequestContext(apiVersion: version, clientId: "client", clientHost: "/127.0.0.1")
        event { shard, now, actions in
            shard.handle(
                request, token: token, context: context, now: now, using: &generator, into: &actions)
        }
        return token
    }

    /// Lets time pass, firing every timer at its own moment.
    func advance(by milliseconds: Int64) {
        let end = now + milliseconds
        while let deadline = shard.nextDeadline, deadline <= end {
            now = max(now, deadline)
            event { shard, now, actions in shard.advance(now: now, into: &actions) }
        }
        now = end
    }

    func completeAppend(error: ErrorCode? = nil) {
        let append = heldAppends.removeFirst()
        if error == nil { log += append.records }
        event { shard, now, actions in shard.appended(append.token, error: error, now: now, into: &actions) }
    }

    func completeMarkers(at index: Int = 0) {
        let markers = heldMarkers.remove(at: index)
        event { shard, now, actions in shard.markersWritten(markers.ticket, now: now, into: &actions) }
    }

    func completeTicket(_ result: Result<Int64, ProducerIdError>? = nil) {
        let ticket = heldTickets.removeFirst()
        nextProducerId += 1
        let producerId = nextProducerId
        event { shard, now, actions in
            shard.producerIdAllocated(ticket, result ?? .success(producerId), now: now, into: &actions)
        }
    }

    private func carryOut(_ requested: [TransactionAction]) {
        actions += requested
        for action in requested {
            switch action {
            case .append(.records(let records), let token): heldAppends.append((records, token))
            case .reply(let token, let response):
                precondition(replies[token] == nil, "a request was answered twice")
                replies[token] = response
            case .perform(.writeMarkers(let markers)): heldMarkers.append(markers)
            case .perform(.allocateProducerId(let ticket)): heldTickets.append(ticket)
            case .append: preconditionFailure("a coordinator writes only records")
            }
        }
        if !holdsAppends { while !heldAppends.isEmpty { completeAppend() } }
        if !holdsMarkers { while !heldMarkers.isEmpty { completeMarkers() } }
        if !holdsProducerIds { while !heldTickets.isEmpty { completeTicket() } }
    }

    // MARK: What the log says

    var lastRecord: TransactionMetadata? {
        guard let record = log.last,
            case .metadata(_, let metadata)? = try? TransactionRecord.decode(key: record.key, value: record.value)
        else { return nil }
        return metadata
    }
}

extension TransactionMetadata {
    /// What a coordinator that reads the log knows.
    var persisted: TransactionMetadata {
        var metadata = self
        metadata.lastProducerEpoch = Self.noProducerEpoch
        return metadata
    }
}
