import ClusterMetadata
import KafkaProtocol
import Synchronization

/// The controller, on the node that is it: keeps who leads what in step with who is there. What it decides are pure
/// functions of the image (`ClusterMetadata/Controller`); here it becomes the controller, stores the decisions under the
/// condition that it still is, and tries again where that fails. On the control thread.
final class Controller: Sendable {
    private static let retryMilliseconds: Int64 = 200
    private static let checkMilliseconds: Int64 = 1000
    /// How long a new controller waits for nodes that it knows and that are not there, before it elects others: after a
    /// start of all, or when etcd has ended all sessions, they are about to come.
    private static let patienceMilliseconds: Int64 = 300
    /// Topics changed in one transaction; etcd takes some hundred operations and 1.5 MB at a time.
    private static let topicsPerTransaction = 40
    private static let partitionsPerTransaction = 8000

    private unowned let broker: Broker
    private let state = Mutex(State())

    private struct State: Sendable {
        /// The epoch under which this node is the controller.
        var epoch: Int64?
        var isRetryScheduled = false
        /// Until when missing nodes are waited for; monotonic.
        var patientUntil: Int64 = 0
    }

    init(broker: Broker) {
        self.broker = broker
    }

    var isActive: Bool {
        let image = broker.cluster.image
        guard let epoch = state.withLock({ $0.epoch }) else { return false }
        return image.controllerId == broker.cluster.nodeId && image.controllerEpoch == epoch
    }

    func start() {
        check()
        scheduleBalance()
    }

    /// In case that news come late or a try was in vain.
    private func check() {
        broker.control.schedule(afterMilliseconds: Self.checkMilliseconds) { [self] in
            broker.partitionService.retryFailures()
            metadataChanged()
            check()
        }
    }

    /// This node's session ended, or the node does: it decides nothing more.
    func resign() {
        state.withLock { $0.epoch = nil }
    }

    /// As `resign`, while the node still is there: another may take over at once.
    func retire() {
        guard isActive else { return }
        resign()
        end()
    }

    func metadataChanged() {
        let image = broker.cluster.image
        if image.controllerId == broker.cluster.nodeId, broker.isClustered, state.withLock({ $0.epoch == nil }),
            broker.membership.isRegistered
        {
            // It was stored that this node is the controller, and the store's answer was lost.
            end()
        }
        if broker.cluster.image.controllerId < 0 { stand() }
        guard isActive, !isWaitingForNodes() else { return }
        do throws(MetadataRefusal) {
            try admit()
            try elect()
        } catch {
            retry(after: error)
        }
    }

    private func retry(after refusal: MetadataRefusal) {
        broker.logger.warning("controller.not-stored", metadata: ["error": "\(refusal.message)", "retry": "yes"])
        guard
            state.withLock({ state in
                defer { state.isRetryScheduled = true }
                return !state.isRetryScheduled
            })
        else { return }
        broker.control.schedule(afterMilliseconds: Self.retryMilliseconds) { [self] in
            state.withLock { $0.isRetryScheduled = false }
            do throws(MetadataStoreError) {
                // What was stored is not known, or somebody else stored something.
                try broker.cluster.reload()
                broker.partitionService.reconcile()
                metadataChanged()
            } catch {
                self.retry(after: MetadataRefusal(ErrorCode(error), "\(error)"))
            }
        }
    }

    private func isWaitingForNodes() -> Bool {
        guard broker.clock.monotonicMilliseconds < state.withLock({ $0.patientUntil }) else { return false }
        let image = broker.cluster.image
        return image.nodes.keys.contains { image.brokers[$0] == nil }
    }

    // MARK: Becoming the controller

    private func stand() {
        let image = broker.cluster.image
        guard broker.membership.isRegistered, let own = image.brokers[broker.cluster.nodeId], !own.isShuttingDown else {
            return
        }
        var transaction = MetadataTransaction()
        transaction.becomeController(broker.cluster.nodeId, over: image)
        do throws(MetadataStoreError) {
            try broker.cluster.commit(transaction)
        } catch {
            guard case .conflict = error else {
                broker.logger.warning("controller.not-elected", metadata: ["error": "\(error)"])
                return
            }
            // Somebody else was faster; the news of it are on their way.
            return
        }
        let epoch = broker.cluster.image.controllerEpoch
        let patientUntil = broker.clock.monotonicMilliseconds + Self.patienceMilliseconds
        state.withLock { state in
            state.epoch = epoch
            state.patientUntil = patientUntil
        }
        broker.control.schedule(afterMilliseconds: Self.patienceMilliseconds) { [self] in metadataChanged() }
        broker.logger.notice("controller.elected", metadata: ["epoch": "\(epoch)"])
    }

    private func end() {
        var transaction = MetadataTransaction()
        transaction.endController(over: broker.cluster.image)
        do throws(MetadataStoreError) {
            try broker.cluster.commit(transaction)
        } catch {
            broker.logger.warning("controller.not-ended", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Decisions

    private func admit() throws(MetadataRefusal) {
        let waiting = broker.cluster.image.brokers.values.filter { !$0.isAdmitted }.map(\.nodeId).sorted()
        for nodeId in waiting {
            let image = broker.cluster.image
            guard let admission = image.admission(of: nodeId, defaults: broker.configuration) else { continue }
            try store(admission.plan.topics) { $0.put(admission.record, ofNode: nodeId, over: image) }
            report(admission.plan)
            broker.logger.notice(
                "controller.admitted",
                metadata: [
                    "broker": "\(nodeId)", "epoch": "\(admission.record.epoch)", "loss": "\(admission.record.loss)",
                ])
        }
    }

    private func elect() throws(MetadataRefusal) {
        let plan = broker.cluster.image.electionChanges(defaults: broker.configuration)
        guard !plan.topics.isEmpty else { return }
        let start = broker.clock.monotonicNanoseconds
        try store(plan.topics)
        report(plan)
        broker.logger.info(
            "controller.elections",
            metadata: [
                "topics": "\(plan.topics.count)", "new.leaders": "\(plan.newLeaders)",
                "leaderless": "\(plan.leaderless)", "shrunk": "\(plan.shrunk)",
                "milliseconds": "\((broker.clock.monotonicNanoseconds - start) / 1_000_000)",
            ])
    }

    private func report(_ plan: ElectionPlan) {
        for partition in plan.uncleanElections { report(unclean: partition) }
        for partition in plan.lost {
            broker.logger.critical(
                "controller.replica-lost-records",
                metadata: [
                    "partition": "\(partition)",
                    "consequence": "its last in-sync replica came back without all that it had",
                ])
        }
    }

    func report(unclean partition: PartitionReference) {
        broker.logger.critical(
            "controller.unclean-election",
            metadata: ["partition": "\(partition)", "consequence": "acknowledged records may be lost"])
    }

    /// Stores changed topics, in as many transactions as it takes; `more` goes with the last. Where nothing is changed, the
    /// store is asked nevertheless whether this node still is the controller: one that was cut off and replaced would say of
    /// what it last heard that all is as it was asked for.
    func store(
        _ topics: [TopicMetadata], _ more: (inout MetadataTransaction) -> Void = { _ in }
    ) throws(MetadataRefusal) {
        var chunks: [[TopicMetadata]] = [[]]
        var partitions = 0
        for topic in topics {
            if !chunks[chunks.count - 1].isEmpty,
                chunks[chunks.count - 1].count == Self.topicsPerTransaction
                    || partitions + topic.partitions.count > Self.partitionsPerTransaction
            {
                chunks.append([])
                partitions = 0
            }
            chunks[chunks.count - 1].append(topic)
            partitions += topic.partitions.count
        }
        let image = broker.cluster.image
        // What is stored of it is put to work also when the rest cannot be.
        defer { broker.partitionService.reconcile() }
        for (index, chunk) in chunks.enumerated() {
            try broker.topicService.store { transaction in
                for topic in chunk { transaction.put(topic, over: image) }
                if index == chunks.count - 1 { more(&transaction) }
            }
        }
    }

    // MARK: Preferred leaders

    private func scheduleBalance() {
        let interval = broker.configuration.long("leader.imbalance.check.interval.seconds")
        broker.control.schedule(afterMilliseconds: interval * 1000) { [self] in
            balance()
            scheduleBalance()
        }
    }

    private func balance() {
        guard isActive, broker.configuration.bool("auto.leader.rebalance.enable") else { return }
        let topics = broker.cluster.image.leaderBalance(
            imbalancePercentage: broker.configuration.int("leader.imbalance.per.broker.percentage"))
        guard !topics.isEmpty else { return }
        do throws(MetadataRefusal) {
            try store(topics)
            broker.logger.info("controller.balanced", metadata: ["topics": "\(topics.count)"])
        } catch {
            retry(after: error)
        }
    }
}
