import ClusterMetadata

/// How a node goes, or is of no use any more.
extension ClusterMembership {
    /// How often a node that stops looks whether others have taken over.
    private static let handoverPollMilliseconds: Int64 = 10

    /// Has the others take over what this node leads, and calls `done` when they have or the time is up.
    package func handOver(_ done: @escaping @Sendable () -> Void) {
        let limit = broker.clock.monotonicMilliseconds + broker.configuration.long("controlled.shutdown.timeout.ms")
        broker.control.enqueue { [self] in
            guard isRegistered else {
                state.withLock { $0.isStopping = true }
                done()
                return
            }
            awaitHandover(until: limit, done)
        }
    }

    /// The data folder takes nothing any more: others must lead, and nobody is to count on this node. Asked again until the
    /// others know.
    func storageFailed() {
        broker.control.enqueue { [self] in
            guard isRegistered, let own = broker.cluster.image.brokers[broker.cluster.nodeId], !own.isShuttingDown
            else {
                return
            }
            broker.logger.critical(
                "cluster.out-of-service",
                metadata: [
                    "reason": "the data folder is offline", "consequence": "others take over; restart this node",
                ])
            announceShutdown()
        }
    }

    private func announceShutdown() {
        let image = broker.cluster.image
        guard var registration = image.brokers[broker.cluster.nodeId] else { return }
        registration.isShuttingDown = true
        var transaction = MetadataTransaction()
        transaction.put(registration, over: image)
        logged { () throws(MetadataStoreError) in try broker.cluster.commit(transaction) }
        metadataChanged()
    }

    private func awaitHandover(until limit: Int64, _ done: @escaping @Sendable () -> Void) {
        // Again when it could not be stored.
        if broker.cluster.image.brokers[broker.cluster.nodeId]?.isShuttingDown == false { announceShutdown() }
        let led = ledByThisNodeWithOthersInSync
        if led > 0, broker.clock.monotonicMilliseconds < limit, state.withLock({ $0.isStoreAvailable }) {
            broker.control.schedule(afterMilliseconds: Self.handoverPollMilliseconds) { [self] in
                awaitHandover(until: limit, done)
            }
            return
        }
        if led > 0 {
            broker.logger.warning("cluster.leaders-not-moved", metadata: ["partitions": "\(led)"])
        }
        broker.controller.retire()
        state.withLock { $0.isStopping = true }
        done()
    }

    /// Partitions that somebody else could lead.
    private var ledByThisNodeWithOthersInSync: Int {
        let image = broker.cluster.image
        let nodeId = broker.cluster.nodeId
        return image.topics.values.reduce(0) { count, topic in
            count
                + topic.partitions.count { partition in
                    partition.leader == nodeId
                        && partition.inSyncReplicas.contains { $0 != nodeId && image.brokers[$0]?.isEligible ?? false }
                }
        }
    }
}
