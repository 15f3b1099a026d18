import Configuration
import KafkaProtocol
import TestSupport

@testable import ClusterMetadata

/// A cluster whose brokers come and go, with the logs that their disks would hold: each record is a number that is
/// given once. A record is acknowledged when every in-sync replica has it.
struct ClusterLife {
    struct Log {
        var acknowledged: [Int] = []
        /// By broker.
        var replicas: [Int32: [Int]] = [:]

        /// What the broker does not have of what was acknowledged is given up.
        mutating func forget(whatLacks broker: Int32) {
            let present = replicas[broker] ?? []
            let common = zip(acknowledged, present).prefix { $0 == $1 }.count
            acknowledged.removeSubrange(common...)
        }
    }

    private var generator: SeededGenerator
    var image = MetadataImage()
    var logs: [PartitionReference: Log] = [:]
    private(set) var references: [PartitionReference] = []
    private let brokers: ClosedRange<Int32>
    private let defaults = BrokerConfiguration()
    private var lastRecord = 0
    var events: [String] = []
    var violations: [String] = []

    init(seed: UInt64) throws {
        generator = SeededGenerator(seed: seed)
        brokers = 1...Int32.random(in: 3...6, using: &generator)
        image = MetadataImage(brokers: brokers, racks: [1: "a", 2: "b", 3: "a"])
        for (name, configuration) in [
            ("fsync", ["durability": "fsync"]), ("cache", ["durability": "page-cache"]),
            ("unclean", ["unclean.leader.election.enable": "true"]),
        ] {
            let factor = Int16.random(in: 1...3, using: &generator)
            var request = NewTopic(name: name, partitionCount: 4, replicationFactor: factor)
            request.configuration = configuration.map { (name: $0.key, value: $0.value) }
            let id = Uuid(high: 1, low: UInt64(image.topics.count))
            image.insert(try image.plan(request, defaults: defaults, id: id, using: &generator))
            for index in 0..<4 { logs[PartitionReference(topic: name, partition: Int32(index))] = Log() }
        }
        references = logs.keys.sorted()
    }

    // MARK: Events

    mutating func step() throws {
        let broker = Int32.random(in: brokers, using: &generator)
        switch Int.random(in: 0..<16, using: &generator) {
        case 0...1: stop(broker)
        case 2...3: start(broker)
        case 4...6: admit(broker)
        case 7: shutDown(broker)
        case 8...10: changeInSyncSet()
        case 11: reassign()
        case 12: elect()
        case 13: change("balance") { $0.leaderBalance(imbalancePercentage: 10) }
        case 14: unregister(broker)
        default: break
        }
        if Int.random(in: 0..<3, using: &generator) > 0 { reconcile() }
        produce()
    }

    private mutating func stop(_ broker: Int32) {
        events.append("stop \(broker)")
        image.stop(broker)
    }

    /// A new life, perhaps before anybody saw the end of the last one.
    private mutating func start(_ broker: Int32) {
        let losses: [NodeRecord.Loss] = [.nothing, .nothing, .unsynced, .everything]
        var loss = losses.randomElement(using: &generator) ?? .nothing
        for (reference, log) in logs {
            let records = log.replicas[broker] ?? []
            switch loss {
            case .nothing: break
            case .unsynced where reference.topic == "fsync" || reference.topic == "unclean": break
            case .unsynced:
                let kept = Int.random(in: 0...records.count, using: &generator)
                logs[reference]?.replicas[broker] = Array(records.prefix(kept))
            case .everything: logs[reference]?.replicas[broker] = []
            }
        }
        if let record = image.nodes[broker] {
            // A loss that nobody took note of is still one.
            if !record.isAdmitted, record.loss == .everything || loss == .nothing { loss = record.loss }
        } else {
            // Nobody remembers what it had.
            loss = .everything
        }
        events.append("start \(broker) without \(loss)")
        image.start(broker, rack: image.brokers[broker]?.rack, loss: loss, isAdmitted: false)
    }

    private mutating func admit(_ broker: Int32) {
        guard let admission = image.admission(of: broker, defaults: defaults) else { return }
        events.append("admit \(broker)")
        let before = image
        image.admit(broker)
        note(admission.plan, leadershipMayBeginAnew: broker, since: before)
        for reference in admission.plan.lost { logs[reference]?.forget(whatLacks: broker) }
        check()
    }

    private mutating func shutDown(_ broker: Int32) {
        events.append("shut down \(broker)")
        image.brokers[broker]?.isShuttingDown = true
    }

    private mutating func unregister(_ broker: Int32) {
        guard image.brokers[broker] == nil, image.nodes[broker] != nil, Bool.random(using: &generator) else { return }
        change("unregister \(broker)") { try? $0.unregistration(of: broker) }
        image.nodes[broker] = nil
    }

    private mutating func reconcile() {
        events.append("reconcile")
        let before = image
        let plan = image.reconcile()
        note(plan, since: before)
        check()
        if !image.electionChanges(defaults: defaults).isEmpty { violations.append("elections do not settle") }
        for (reference, partition) in partitions
        where partition.leader == -1 && partition.inSyncReplicas.contains(where: isEligible) {
            violations.append("\(reference) has no leader but could: \(partition.state)")
        }
        for (reference, partition) in partitions
        where partition.leader != -1 && image.brokers[partition.leader]?.isAdmitted != true {
            violations.append("\(reference) is led by one who is away: \(partition.state)")
        }
    }

    private mutating func changeInSyncSet() {
        for (reference, partition) in partitions where Bool.random(using: &generator) {
            let members = partition.replicas.filter { replica in
                replica == partition.leader || isEligible(replica) && Int.random(in: 0..<3, using: &generator) > 0
            }
            setInSync(members, reference, partition)
        }
    }

    /// The members have what their leader has before it asks for them.
    private mutating func setInSync(
        _ members: [Int32], _ reference: PartitionReference, _ partition: PartitionMetadata
    ) {
        let wish = InSyncChange(
            topicId: image.topics[reference.topic]?.id ?? Uuid(high: 0, low: 0), partition: reference.partition,
            leaderEpoch: partition.leaderEpoch, partitionEpoch: partition.partitionEpoch,
            inSyncReplicas: members.map {
                InSyncChange.Replica(brokerId: $0, brokerEpoch: image.brokers[$0]?.epoch ?? 0)
            })
        let epoch = image.brokers[partition.leader]?.epoch ?? 0
        guard let outcome = try? image.alterPartition(wish, from: partition.leader, brokerEpoch: epoch) else { return }
        events.append("\(reference) in sync \(members)")
        let records = records(partition.leader, reference)
        for member in members { logs[reference]?.replicas[member] = records }
        let before = image
        var draft = MetadataDraft(image)
        draft.set(outcome.partition, of: outcome.reference)
        image = draft.image
        compare(before, growing: [reference])
        check()
    }

    private mutating func reassign() {
        guard let (reference, partition) = partitions.randomElement(using: &generator) else { return }
        let isReversal = partition.isReassigned && Bool.random(using: &generator)
        let count = Int.random(in: 1...3, using: &generator)
        let target = Array(brokers.shuffled(using: &generator).prefix(count))
        events.append("reassign \(reference) to \(isReversal ? [] : target)")
        let outcome = image.alterReassignments(
            [ReassignmentRequest(reference, to: isReversal ? nil : target)], allowsOtherReplicationFactor: true,
            defaults: defaults)
        apply(outcome.topics, unclean: outcome.uncleanElections)
    }

    private mutating func elect() {
        let kind: LeaderElectionKind = Int.random(in: 0..<10, using: &generator) == 0 ? .unclean : .preferred
        events.append("elect \(kind)")
        let outcome = image.electLeaders(kind, of: nil)
        apply(outcome.topics, unclean: outcome.uncleanElections)
        if kind == .preferred, !outcome.uncleanElections.isEmpty {
            violations.append("a preferred election was unclean")
        }
    }

    /// Where all in-sync replicas are there a record is acknowledged; other leaders only append.
    private mutating func produce() {
        for (reference, partition) in partitions where image.brokers[partition.leader]?.isAdmitted == true {
            lastRecord += 1
            let records = records(partition.leader, reference) + [lastRecord]
            logs[reference]?.replicas[partition.leader] = records
            guard partition.inSyncReplicas.allSatisfy({ image.brokers[$0]?.isAdmitted == true }) else { continue }
            for member in partition.inSyncReplicas { logs[reference]?.replicas[member] = records }
            logs[reference]?.acknowledged = records
        }
    }

    /// All return, catch up, and lead what they should.
    mutating func recover() throws {
        for broker in brokers {
            if image.brokers[broker] == nil || image.brokers[broker]?.isShuttingDown == true {
                let loss = image.nodes[broker].map { $0.isAdmitted ? .nothing : $0.loss } ?? .everything
                image.start(broker, loss: loss, isAdmitted: false)
            }
            admit(broker)
        }
        reconcile()
        for (reference, partition) in partitions {
            if partition.leader == -1 { violations.append("\(reference) stays without a leader: \(partition.state)") }
            setInSync(partition.replicas, reference, partition)
        }
        if !image.reassignments().isEmpty { violations.append("a reassignment does not end") }
        change("balance") { $0.leaderBalance(imbalancePercentage: 0) }
        for (reference, partition) in partitions
        where partition.leader != partition.replicas[0] || partition.inSyncReplicas.count != partition.replicas.count {
            violations.append("\(reference) is not as it should be: \(partition.state)")
        }
    }
}
