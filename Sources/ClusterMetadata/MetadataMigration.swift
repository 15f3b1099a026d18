/// Takes the metadata of an embedded node into the store of a cluster.
package enum MetadataMigration {
    /// Copies what outlives a session, and returns how many entries that were. The cluster's own entry comes last, so a
    /// target without it was not finished: copying again finishes it. One that has it is refused with
    /// `conflict(key: "cluster")`, also when the first copy was done but its last answer was lost.
    package static func copy(
        from source: any MetadataStore, to target: any MetadataStore
    ) throws(MetadataStoreError) -> Int {
        var entries: [MetadataEntry] = []
        var cluster: MetadataEntry?
        for entry in try source.snapshot().entries where isKept(entry.key) {
            if entry.key == MetadataKey.cluster { cluster = entry } else { entries.append(entry) }
        }
        guard let cluster else { throw .unavailable("the store to copy from holds no cluster") }

        let existing = try target.snapshot().entries.map(\.key)
        guard !existing.contains(MetadataKey.cluster) else { throw .conflict(key: MetadataKey.cluster) }
        // Left by a copy that was not finished, and deleted at the source since.
        let copied = Set(entries.map(\.key))
        let leftovers = existing.filter { isKept($0) && !copied.contains($0) }

        var chunk = Chunk()
        for key in leftovers { try chunk.add(to: target) { $0.delete(key) } }
        for entry in entries.sorted(by: { $0.key < $1.key }) {
            try chunk.add(to: target, bytes: entry.key.utf8.count + entry.value.count) {
                $0.put(entry.key, entry.value)
            }
        }
        try chunk.commit(to: target)
        try chunk.add(to: target) { $0.put(cluster.key, cluster.value) }
        try chunk.commit(to: target)
        return entries.count + 1
    }

    private static func isKept(_ key: String) -> Bool {
        key == MetadataKey.cluster || key == MetadataKey.producerIds
            || [MetadataKey.topicPrefix, MetadataKey.nodePrefix, "configs/"].contains { key.hasPrefix($0) }
    }

    /// What one transaction may hold; etcd takes no more than 128 operations and 1.5 MB.
    private struct Chunk {
        static let maximumOperations = 100
        static let maximumBytes = 1024 * 1024

        private var transaction = MetadataTransaction()
        private var operations = 0
        private var bytes = 0

        /// Commits first what would be too much with it.
        mutating func add(
            to target: any MetadataStore, bytes added: Int = 0, _ change: (inout MetadataTransaction) -> Void
        ) throws(MetadataStoreError) {
            if operations == Chunk.maximumOperations || bytes + added > Chunk.maximumBytes { try commit(to: target) }
            change(&transaction)
            operations += 1
            bytes += added
        }

        mutating func commit(to target: any MetadataStore) throws(MetadataStoreError) {
            guard operations > 0 else { return }
            // Nobody may have made a cluster of the target meanwhile.
            transaction.require(MetadataKey.cluster, version: 0)
            try target.commit(transaction)
            self = Chunk()
        }
    }
}
