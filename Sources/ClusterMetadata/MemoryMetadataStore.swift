import Synchronization

/// Metadata in memory, for tests: it outlives the broker that it is given to, and is gone with its last reference.
package final class MemoryMetadataStore: MetadataStore {
    package init() {}

    private struct State {
        var entries: [String: MetadataEntry] = [:]
        var revision: Int64 = 0
    }

    private let state = Mutex(State())

    package func snapshot() throws(MetadataStoreError) -> MetadataSnapshot {
        state.withLock { MetadataSnapshot(entries: Array($0.entries.values), revision: $0.revision) }
    }

    package func commit(_ transaction: MetadataTransaction) throws(MetadataStoreError) -> Int64 {
        let (conflict, revision) = state.withLock { state -> (String?, Int64) in
            for condition in transaction.conditions
            where state.entries[condition.key]?.version ?? 0 != condition.version {
                return (condition.key, 0)
            }
            state.revision += 1
            for key in transaction.deletes { state.entries[key] = nil }
            for put in transaction.puts {
                state.entries[put.key] = MetadataEntry(
                    key: put.key, value: put.value, version: (state.entries[put.key]?.version ?? 0) + 1,
                    revision: state.revision)
            }
            return (nil, state.revision)
        }
        if let conflict { throw .conflict(key: conflict) }
        return revision
    }

    /// Only the one broker writes here.
    package func observe(after revision: Int64, _ observer: @escaping @Sendable (MetadataNews) -> Void) {}

    package func openSession(timeoutMilliseconds: Int64) throws(MetadataStoreError) {}

    package func close() {}
}
