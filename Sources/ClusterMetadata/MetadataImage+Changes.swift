import Configuration
import KafkaProtocol

extension MetadataImage {
    /// Takes over what the store says.
    package mutating func apply(_ change: MetadataChange) throws(MetadataStoreError) {
        switch change {
        case .put(let entry): try put(entry)
        case .deleted(let key): delete(key)
        }
    }

    private mutating func put(_ entry: MetadataEntry) throws(MetadataStoreError) {
        let key = entry.key
        if key == MetadataKey.cluster {
            clusterId = try entry.decoded(as: ClusterEntry.self).clusterId
        } else if key == MetadataKey.controller {
            controllerId = try entry.decoded(as: ControllerEntry.self).nodeId
        } else if let name = key.suffix(after: MetadataKey.topicPrefix) {
            insert(try TopicMetadata(name: name, entry: entry))
        } else if let id = key.suffix(after: MetadataKey.nodePrefix).flatMap({ Int32($0) }) {
            nodes[id] = try entry.decoded(as: NodeRecord.self)
            combine(id)
        } else if let id = key.suffix(after: MetadataKey.brokerPrefix).flatMap({ Int32($0) }) {
            let broker = try entry.decoded(as: BrokerEntry.self)
            brokers[id] = BrokerRegistration(
                nodeId: id, endpoints: broker.endpoints, rack: broker.rack, incarnation: broker.incarnation,
                isAdmitted: false, isShuttingDown: broker.isShuttingDown)
            combine(id)
        } else if let name = key.suffix(after: MetadataKey.brokerConfigurationPrefix) {
            brokerConfigurations[Int32(name)] = try configurationValues(
                try entry.decoded(as: [String: String].self), BrokerConfigurations.byName, key: key)
        }
        // Last: an entry that cannot be read is none that could be changed.
        versions[key] = entry.version
    }

    private mutating func delete(_ key: String) {
        versions[key] = nil
        if key == MetadataKey.controller {
            controllerId = -1
        } else if let name = key.suffix(after: MetadataKey.topicPrefix) {
            removeTopic(named: name)
        } else if let id = key.suffix(after: MetadataKey.nodePrefix).flatMap({ Int32($0) }) {
            nodes[id] = nil
            combine(id)
        } else if let id = key.suffix(after: MetadataKey.brokerPrefix).flatMap({ Int32($0) }) {
            brokers[id] = nil
        } else if let name = key.suffix(after: MetadataKey.brokerConfigurationPrefix) {
            brokerConfigurations[Int32(name)] = nil
        }
    }

    /// A registration counts as admitted when the node's record speaks of the same life.
    private mutating func combine(_ id: Int32) {
        guard let registration = brokers[id] else { return }
        let record = nodes[id].flatMap { $0.incarnation == registration.incarnation ? $0 : nil }
        brokers[id]?.epoch = record?.epoch ?? registration.epoch
        brokers[id]?.isAdmitted = record?.isAdmitted ?? false
    }
}

extension String {
    fileprivate func suffix(after prefix: String) -> String? {
        hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
    }
}
