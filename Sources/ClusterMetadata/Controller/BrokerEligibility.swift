/// What the brokers can do, looked up once for all partitions.
struct BrokerEligibility {
    /// May lead and be in sync.
    private let eligible: Set<Int32>
    /// Those, and the admitted ones that are about to stop but still serve what they lead.
    private let serving: Set<Int32>

    init(_ brokers: [Int32: BrokerRegistration]) {
        eligible = Set(brokers.values.lazy.filter(\.isEligible).map(\.nodeId))
        serving = Set(brokers.values.lazy.filter(\.isAdmitted).map(\.nodeId))
    }

    func isEligible(_ broker: Int32) -> Bool { eligible.contains(broker) }

    func isServing(_ broker: Int32) -> Bool { serving.contains(broker) }
}

extension MetadataImage {
    /// Whether the node is there or is expected back; Kafka's "registered, even if fenced".
    func isKnown(_ nodeId: Int32) -> Bool { brokers[nodeId] != nil || nodes[nodeId] != nil }
}
