import Synchronization

/// Metadata in memory, for tests: it outlives the broker that it is given to, and is gone with its last reference.
package final class MemoryMetadataStore: MetadataStore {
    package init() {}

    private let state = Mutex<[String: MetadataEntry]>([:])

    package func entries() throws(MetadataStoreError) -> [MetadataEntry] {
        state.withLock { Array($0.values) }
    }

    package func commit(_ transaction: MetadataTransaction) throws(MetadataStoreError) {
        let conflict = state.withLock { state -> String? in
            for condition in transaction.conditions where state[condition.key]?.version ?? 0 != condition.version {
                return condition.key
            }
            for key in transaction.deletes { state[key] = nil }
            for (key, value) in transaction.puts {
                state[key] = MetadataEntry(key: key, value: value, version: (state[key]?.version ?? 0) + 1)
            }
            return nil
        }
        if let conflict { throw .conflict(key: conflict) }
    }

    package func close() {}
}
