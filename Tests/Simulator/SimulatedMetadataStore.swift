import ClusterMetadata

/// One node's way to etcd, in one life of it.
final class SimulatedMetadataStore: MetadataStore, @unchecked Sendable {
    private static let noticeAfter: Int64 = .seconds(2)

    private let life: Life
    private var lease: Int64?
    private var observer: (@Sendable (MetadataNews) -> Void)?
    private var observed: Int64 = 0
    private var isDeliveryScheduled = false
    private var owesSessionEnd = false
    private var unreachableSince: Int64?
    private var hasToldUnavailable = false
    private var isClosed = false

    init(_ life: Life) {
        self.life = life
        etcd.observers.append { [weak self] in self?.poke() }
        monitor()
    }

    private var world: World { life.world }
    private var timeline: Timeline { world.timeline }
    private var etcd: SimulatedEtcd { world.etcd }

    private var reaches: Bool { !etcd.isDown && life.node.reachesEtcd }
    private var hears: Bool { !etcd.isDown && life.node.hearsEtcd }

    // MARK: Calls

    private func enter() throws(MetadataStoreError) {
        if life.isRunning { timeline.wait(world.habits.etcdDelay()) }
        guard life.isAlive, !isClosed else { throw .unavailable("closed") }
        guard reaches else {
            if life.isRunning { timeline.wait(timeline.between(50, 1500)) }
            throw .unavailable("no answer")
        }
    }

    /// Tells whether the answer comes.
    private func leave() -> Bool {
        if life.isRunning { timeline.wait(hears ? world.habits.etcdDelay() : timeline.between(50, 1500)) }
        return hears
    }

    func snapshot() throws(MetadataStoreError) -> MetadataSnapshot {
        try enter()
        let snapshot = etcd.snapshot
        guard leave() else { throw .unavailable("no answer") }
        return snapshot
    }

    func commit(_ transaction: MetadataTransaction) throws(MetadataStoreError) -> Int64 {
        do throws(MetadataStoreError) {
            try enter()
        } catch {
            // Asked before the connection was cut, perhaps.
            guard life.isAlive, !isClosed, timeline.chance(0.3) else { throw error }
            if timeline.chance(0.5) { commitLater(transaction, lease, within: 3000) }
            throw .unknownOutcome("no answer")
        }
        if timeline.chance(world.habits.lostEtcdAnswers) {
            switch Int.random(in: 0..<3, using: &timeline.random) {
            case 0: break
            case 1: commitLater(transaction, lease, within: 2000)
            default: commitLater(transaction, lease, within: 0)
            }
            throw .unknownOutcome("the answer was lost")
        }
        world.note("[\(life.node.id)] commits \(transaction.conditions.map { "\($0.key)=\($0.version)" })")
        guard hears else {
            // What came of it nobody here is told.
            _ = try? etcd.commit(transaction, lease: lease)
            _ = leave()
            throw .unknownOutcome("the answer did not come")
        }
        let revision = try etcd.commit(transaction, lease: lease)
        guard leave() else { throw .unknownOutcome("the answer did not come") }
        return revision
    }

    private func commitLater(_ transaction: MetadataTransaction, _ lease: Int64?, within milliseconds: Double) {
        timeline.after(timeline.between(0, milliseconds), "late-commit") { [self] in
            if etcd.isDown { return commitLater(transaction, lease, within: 1000) }
            world.note("[\(life.node.id)] commits late \(transaction.conditions.map { "\($0.key)=\($0.version)" })")
            // Conditions that do not hold any more end it, as they would have then.
            _ = try? etcd.commit(transaction, lease: lease)
        }
    }

    // MARK: The session

    func openSession(timeoutMilliseconds: Int64) throws(MetadataStoreError) {
        guard lease == nil else { return }
        try enter()
        let timeout = Int64.milliseconds(Double(timeoutMilliseconds))
        let id = etcd.grant(timeout: timeout)
        guard leave() else { throw .unavailable("no answer") }
        lease = id
        owesSessionEnd = false
        keepAlive(id, every: timeout / 3, after: timeout / 3)
    }

    private func keepAlive(_ id: Int64, every interval: Int64, after pause: Int64) {
        timeline.after(pause, "keep-alive", life: life) { [self] in
            guard !isClosed, lease == id else { return }
            guard reaches else { return keepAlive(id, every: interval, after: .milliseconds(500)) }
            let isThere = etcd.keepAlive(id)
            guard hears else { return keepAlive(id, every: interval, after: .milliseconds(500)) }
            if isThere {
                keepAlive(id, every: interval, after: interval)
            } else {
                lease = nil
                timeline.after(world.habits.etcdDelay(), "session-ended", life: life) { [self] in
                    if let observer { observer(.sessionEnded) } else { owesSessionEnd = true }
                }
            }
        }
    }

    // MARK: News

    func observe(after revision: Int64, _ observer: @escaping @Sendable (MetadataNews) -> Void) {
        self.observer = observer
        observed = revision
        if owesSessionEnd {
            owesSessionEnd = false
            observer(.sessionEnded)
        }
        poke()
    }

    private func poke() {
        guard !isDeliveryScheduled, !isClosed, life.isAlive else { return }
        isDeliveryScheduled = true
        timeline.after(world.habits.newsDelay(), "news", life: life) { [self] in
            isDeliveryScheduled = false
            guard hears else {
                isDeliveryScheduled = true
                timeline.after(.milliseconds(100), "news-retry", life: life) { [self] in
                    isDeliveryScheduled = false
                    poke()
                }
                return
            }
            deliver()
        }
    }

    private func deliver() {
        guard let observer, observed < etcd.revision else { return }
        if observed < etcd.compacted {
            self.observer = nil
            world.count("reloads of etcd")
            observer(.historyLost)
            return
        }
        for (revision, changes) in etcd.changes(after: observed) {
            observed = revision
            if world.plant.losesNews(timeline) { continue }
            observer(.changed(changes, revision: revision))
        }
    }

    private func monitor() {
        timeline.after(.milliseconds(500), "monitor", life: life) { [self] in
            guard !isClosed else { return }
            if reaches, hears {
                unreachableSince = nil
                if hasToldUnavailable {
                    hasToldUnavailable = false
                    observer?(.available)
                }
            } else {
                let since = unreachableSince ?? timeline.now
                unreachableSince = since
                if !hasToldUnavailable, timeline.now - since >= Self.noticeAfter, let observer {
                    hasToldUnavailable = true
                    observer(.unavailable("no answer"))
                }
            }
            monitor()
        }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        observer = nil
        if life.isAlive, reaches, let lease { etcd.revoke(lease) }
        lease = nil
    }
}
