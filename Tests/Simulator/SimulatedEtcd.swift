import ClusterMetadata

/// What etcd does for a cluster: one order of all changes, leases, and the history for those who watch.
final class SimulatedEtcd {
    struct Lease {
        var timeout: Int64
        var deadline: Int64
    }

    private let timeline: Timeline
    private(set) var entries: [String: MetadataEntry] = [:]
    private var leaseOfKey: [String: Int64] = [:]
    private(set) var revision: Int64 = 1
    private(set) var history: [(revision: Int64, changes: [MetadataChange])] = []
    /// Changes up to here are not in the history any more.
    private(set) var compacted: Int64 = 0
    private var leases: [Int64: Lease] = [:]
    private var nextLease: Int64 = 1
    private(set) var isDown = false
    /// A planted bug.
    private let ignoresConditions: Bool
    /// Told of every change, in order.
    var observers: [() -> Void] = []
    var onChange: ([MetadataChange]) -> Void = { _ in }

    init(_ timeline: Timeline, ignoresConditions: Bool) {
        self.timeline = timeline
        self.ignoresConditions = ignoresConditions
    }

    var snapshot: MetadataSnapshot {
        MetadataSnapshot(entries: entries.keys.sorted().map { entries[$0]! }, revision: revision)
    }

    func commit(_ transaction: MetadataTransaction, lease: Int64?) throws(MetadataStoreError) -> Int64 {
        for condition in transaction.conditions
        where !ignoresConditions && entries[condition.key]?.version ?? 0 != condition.version {
            throw .conflict(key: condition.key)
        }
        if transaction.puts.contains(where: \.isEphemeral) {
            guard let lease, leases[lease] != nil else { throw .noSession }
        }
        apply(transaction.deletes, transaction.puts, lease: lease)
        return revision
    }

    private func apply(_ deletes: [String], _ puts: [MetadataTransaction.Put], lease: Int64?) {
        let gone = deletes.filter { entries[$0] != nil }
        guard !gone.isEmpty || !puts.isEmpty else { return }
        revision += 1
        var changes: [MetadataChange] = []
        for key in gone {
            entries[key] = nil
            leaseOfKey[key] = nil
            changes.append(.deleted(key: key))
        }
        for put in puts {
            let entry = MetadataEntry(
                key: put.key, value: put.value, version: (entries[put.key]?.version ?? 0) + 1, revision: revision)
            entries[put.key] = entry
            leaseOfKey[put.key] = put.isEphemeral ? lease : nil
            changes.append(.put(entry))
        }
        history.append((revision, changes))
        onChange(changes)
        for observer in observers { observer() }
    }

    /// Forgets all but the last changes.
    func compact(keeping count: Int) {
        guard history.count > count else { return }
        compacted = history[history.count - count - 1].revision
        history.removeFirst(history.count - count)
    }

    func changes(after revision: Int64) -> [(revision: Int64, changes: [MetadataChange])] {
        guard let first = history.lastIndex(where: { $0.revision <= revision }) else { return history }
        return Array(history[(first + 1)...])
    }

    // MARK: Leases

    func grant(timeout: Int64) -> Int64 {
        let id = nextLease
        nextLease += 1
        leases[id] = Lease(timeout: timeout, deadline: timeline.now + timeout)
        scheduleExpiry(id)
        return id
    }

    /// Whether there still is such a lease.
    func keepAlive(_ id: Int64) -> Bool {
        guard let lease = leases[id] else { return false }
        leases[id]!.deadline = timeline.now + lease.timeout
        return true
    }

    func revoke(_ id: Int64) {
        guard leases.removeValue(forKey: id) != nil else { return }
        let keys = leaseOfKey.filter { $0.value == id }.map(\.key).sorted()
        apply(keys, [], lease: nil)
    }

    private func scheduleExpiry(_ id: Int64) {
        guard let lease = leases[id] else { return }
        timeline.after(max(.milliseconds(10), lease.deadline - timeline.now), "lease") { [self] in
            guard let lease = leases[id] else { return }
            // Without a quorum no lease runs out.
            if !isDown, lease.deadline <= timeline.now { revoke(id) } else { scheduleExpiry(id) }
        }
    }

    func setDown(_ down: Bool) {
        guard isDown != down else { return }
        isDown = down
        guard !down else { return }
        // A new leader gives every lease its whole time again.
        for id in leases.keys { leases[id]!.deadline = timeline.now + leases[id]!.timeout }
        for observer in observers { observer() }
    }
}
