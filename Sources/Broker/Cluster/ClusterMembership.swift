import ClusterMetadata
import Synchronization

/// This node's place in the cluster: its registration, which lives as long as its session with the metadata store, and the
/// news of what others change. All of it happens on the control thread.
package final class ClusterMembership: Sendable {
    private static let retryMilliseconds: Int64 = 500

    /// What this life of the node says of itself.
    package struct Identity: Sendable {
        package var registration: BrokerRegistration
        package var directoryId: String
        /// Whether the data folder was made just now.
        package var isNewDirectory: Bool
        package var loss: NodeRecord.Loss

        package init(
            registration: BrokerRegistration, directoryId: String, isNewDirectory: Bool, loss: NodeRecord.Loss
        ) {
            self.registration = registration
            self.directoryId = directoryId
            self.isNewDirectory = isNewDirectory
            self.loss = loss
        }
    }

    unowned let broker: Broker
    let state = Mutex(State())

    struct State: Sendable {
        var identity: Identity?
        /// Whether the registration is in the store, as far as this node knows.
        var isRegistered = false
        var isStopping = false
        /// Why this node is not a member, or what the metadata store lacks; nil when all is well.
        var trouble: String?
        var isStoreAvailable = true
        /// The nodes that were there, and when (monotonic milliseconds).
        var seen: [Int32: (registration: BrokerRegistration, time: Int64)] = [:]
        /// Those that were there at the last look.
        var there: Set<Int32> = []
        /// Whether the look at what news have changed is under way.
        var isChangeNoted = false
    }

    init(broker: Broker) {
        self.broker = broker
    }

    /// What keeps this node from its place in the cluster; nil when nothing does.
    package var trouble: String? { state.withLock { $0.trouble } }

    /// This life of the node; nil until it has been told who it is.
    var incarnation: String? { state.withLock { $0.identity?.registration.incarnation } }

    package var isRegistered: Bool { state.withLock { $0.isRegistered } }

    /// Tells who this node is, before `start`.
    package func identify(_ identity: Identity) {
        state.withLock { $0.identity = identity }
    }

    func start() {
        observe()
        broker.control.enqueue { [self] in register() }
    }

    // MARK: News

    private func observe() {
        broker.cluster.observe { [weak self] news in
            guard let self else { return }
            broker.control.enqueue { self.take(news) }
        }
    }

    private func take(_ news: MetadataNews) {
        switch news {
        case .changed(let changes, let revision):
            logged { () throws(MetadataStoreError) in try broker.cluster.apply(changes, revision: revision) }
            // Behind the other news that are there: what follows from all of them is done once.
            guard
                state.withLock({ state in
                    defer { state.isChangeNoted = true }
                    return !state.isChangeNoted
                })
            else { return }
            broker.control.enqueue { [self] in
                state.withLock { $0.isChangeNoted = false }
                metadataChanged()
            }
        case .historyLost:
            reload(thenObserve: true)
        case .sessionEnded:
            state.withLock { $0.isRegistered = false }
            broker.logger.warning(
                "cluster.session-ended",
                metadata: ["consequence": "the others took this node for dead; it registers anew"])
            broker.controller.resign()
            register()
        case .unavailable(let reason):
            state.withLock {
                $0.isStoreAvailable = false
                $0.trouble = "waiting for the metadata store: \(reason)"
            }
            broker.logger.error(
                "metadata.unavailable",
                metadata: [
                    "error": "\(reason)",
                    "consequence": "partitions are served as they are; nothing about them can be changed",
                ])
        case .available:
            state.withLock {
                $0.isStoreAvailable = true
                // What else stands in the way of a node that is no member its next try will say.
                if $0.isRegistered { $0.trouble = nil }
            }
            broker.logger.notice("metadata.available")
            reload(thenObserve: false)
        }
    }

    private func reload(thenObserve: Bool) {
        do throws(MetadataStoreError) {
            try broker.cluster.reload()
            if thenObserve { observe() }
            metadataChanged()
        } catch {
            broker.logger.error("metadata.not-read", metadata: ["error": "\(error)"])
            broker.control.schedule(afterMilliseconds: Self.retryMilliseconds) { [self] in
                reload(thenObserve: thenObserve)
            }
        }
    }

    func metadataChanged() {
        noteNodes()
        broker.partitionService.reconcile()
        broker.controller.metadataChanged()
        // Another may have taken this node's registration for one of a life before.
        let nodeId = broker.cluster.nodeId
        let isMissing = state.withLock { state in
            state.isRegistered
                && broker.cluster.image.brokers[nodeId]?.incarnation != state.identity?.registration.incarnation
        }
        if isMissing {
            state.withLock { $0.isRegistered = false }
            register()
        }
    }

    // MARK: Registration

    private func register() {
        guard let identity = state.withLock({ $0.isRegistered || $0.isStopping ? nil : $0.identity }) else { return }
        do throws(MetadataStoreError) {
            try broker.cluster.openSession(
                timeoutMilliseconds: broker.configuration.long("broker.session.timeout.ms"))
            try broker.cluster.reload()
            let image = broker.cluster.image
            let nodeId = broker.cluster.nodeId
            let record = image.nodes[nodeId]
            if let other = image.brokers[nodeId], other.incarnation != identity.registration.incarnation,
                record?.directoryId != identity.directoryId
            {
                refuse(
                    "another node with the id \(nodeId) is registered; give this one another node.id, or stop that one")
                return
            }
            // With the same data folder, which this process has locked, it can only be an earlier life of this node.
            var transaction = MetadataTransaction()
            transaction.put(newRecord(identity, after: record), ofNode: nodeId, over: image)
            transaction.put(identity.registration, over: image)
            // An earlier life may have been the controller; its session has not ended yet.
            if image.controllerId == nodeId, !broker.isController { transaction.endController(over: image) }
            try broker.cluster.commit(transaction)
            state.withLock {
                $0.isRegistered = true
                $0.trouble = nil
            }
            broker.logger.info(
                "cluster.registered", metadata: ["epoch": "\(broker.cluster.image.brokers[nodeId]?.epoch ?? -1)"])
            metadataChanged()
        } catch {
            switch error {
            case .conflict, .noSession:
                // The controller took note of an earlier life just now, or the store ended the session meanwhile.
                broker.logger.info("cluster.registration-repeated", metadata: ["reason": "\(error)"])
                broker.control.schedule(afterMilliseconds: Self.retryMilliseconds / 10) { [self] in register() }
            default:
                refuse("cannot register: \(error)")
            }
        }
    }

    /// What an earlier life may have lost counts until the controller has taken note of it.
    private func newRecord(_ identity: Identity, after record: NodeRecord?) -> NodeRecord {
        var loss = identity.loss
        if let record {
            if record.incarnation == identity.registration.incarnation, record.isAdmitted { loss = .nothing }
            if !record.isAdmitted { loss = max(loss, record.loss) }
            if record.directoryId != identity.directoryId { loss = .everything }
        } else if identity.isNewDirectory {
            // It may have been here before, been forgotten, and come back with another disk.
            loss = .everything
        }
        return NodeRecord(
            epoch: (record?.epoch ?? 0) + 1, incarnation: identity.registration.incarnation,
            directoryId: identity.directoryId, loss: loss, isAdmitted: false)
    }

    private func refuse(_ reason: String) {
        if state.withLock({ $0.trouble }) != reason {
            broker.logger.error("cluster.not-registered", metadata: ["error": "\(reason)", "retry": "yes"])
        }
        state.withLock { $0.trouble = reason }
        broker.control.schedule(afterMilliseconds: Self.retryMilliseconds) { [self] in register() }
    }

    func logged(_ body: () throws(MetadataStoreError) -> Void) {
        do throws(MetadataStoreError) {
            try body()
        } catch {
            broker.logger.error("metadata.failed", metadata: ["error": "\(error)"])
        }
    }
}
