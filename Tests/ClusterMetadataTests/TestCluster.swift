import Configuration
import KafkaProtocol

@testable import ClusterMetadata

extension MetadataImage {
    /// Brokers that are there and admitted, each under epoch 1.
    init(brokers ids: some Sequence<Int32>, racks: [Int32: String] = [:]) {
        self.init()
        for id in ids { start(id, rack: racks[id]) }
    }

    /// A new life, which waits to be admitted unless it lost nothing and is admitted at once.
    mutating func start(
        _ id: Int32, rack: String? = nil, loss: NodeRecord.Loss = .nothing, isAdmitted: Bool = true
    ) {
        let epoch = (nodes[id]?.epoch ?? 0) + 1
        let record = NodeRecord(
            epoch: epoch, incarnation: "\(id)-\(epoch)", directoryId: "d\(id)", loss: loss, isAdmitted: isAdmitted)
        nodes[id] = record
        brokers[id] = BrokerRegistration(
            nodeId: id, endpoints: [], rack: rack, incarnation: record.incarnation, epoch: epoch,
            isAdmitted: isAdmitted)
    }

    mutating func stop(_ ids: Int32...) {
        for id in ids { brokers[id] = nil }
    }

    mutating func add(
        _ name: String = "t", _ configuration: [String: String] = [:], _ partitions: [PartitionMetadata]
    ) throws {
        var values = ConfigurationValues()
        for (key, value) in configuration { try values.set(key, to: value, in: TopicConfigurations.byName) }
        insert(
            TopicMetadata(
                name: name, id: Uuid(high: UInt64(topics.count + 1), low: 1), partitions: partitions,
                configuration: values))
    }

    mutating func apply(_ topics: [TopicMetadata]) {
        for topic in topics { insert(topic) }
    }

    /// Carries out what must change.
    @discardableResult
    mutating func reconcile() -> ElectionPlan {
        let plan = electionChanges(defaults: BrokerConfiguration())
        apply(plan.topics)
        return plan
    }

    @discardableResult
    mutating func admit(_ id: Int32) -> Admission? {
        guard let admission = admission(of: id, defaults: BrokerConfiguration()) else { return nil }
        apply(admission.plan.topics)
        nodes[id] = admission.record
        brokers[id]?.isAdmitted = true
        return admission
    }

    func state(_ name: String = "t", _ partition: Int = 0) -> String {
        topics[name]?.partitions[partition].state ?? "none"
    }
}

extension PartitionMetadata {
    /// In one line: leader/leader epoch/partition epoch, replicas, in-sync replicas, and those that join and leave.
    var state: String {
        var text = "\(leader)/\(leaderEpoch)/\(partitionEpoch) \(replicas) isr \(inSyncReplicas)"
        if isReassigned { text += " + \(addingReplicas) - \(removingReplicas)" }
        return text
    }

    static func led(_ replicas: Int32..., isr: [Int32]? = nil) -> PartitionMetadata {
        let inSync = isr ?? replicas
        return PartitionMetadata(leader: inSync[0], replicas: replicas, inSyncReplicas: inSync)
    }
}
