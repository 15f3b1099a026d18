import ClusterMetadata

extension ClusterMembership {
    /// The nodes that clients may know of: those that are there, this one, which evidently is, and for the time of a session
    /// those that were. When etcd comes back from a pause it may end all sessions at once, and a client that is told of no
    /// node, or not of its own, has nobody left to ask.
    var visibleNodes: [Int32: BrokerRegistration] {
        var nodes = broker.cluster.image.brokers
        guard broker.isClustered else { return nodes }
        let earliest = broker.clock.monotonicMilliseconds - broker.configuration.long("broker.session.timeout.ms")
        state.withLock { state in
            for (id, seen) in state.seen where nodes[id] == nil && seen.time >= earliest {
                nodes[id] = seen.registration
            }
            if nodes[broker.cluster.nodeId] == nil { nodes[broker.cluster.nodeId] = state.identity?.registration }
        }
        return nodes
    }

    func noteNodes() {
        let now = broker.clock.monotonicMilliseconds
        let there = broker.cluster.image.brokers
        state.withLock { state in
            // Those that went are known from the look before this one, when they were last there.
            for id in state.there { state.seen[id]?.time = now }
            for (id, registration) in there { state.seen[id] = (registration, now) }
            state.there = Set(there.keys)
        }
    }
}
