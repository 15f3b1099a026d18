import ClusterMetadata
import GRPCCore
import Logging
import Synchronization

/// The cluster's metadata in etcd, by its v3 API. Nothing is kept here but the session and the place in the history.
///
/// Its calls wait for etcd: never make them on an event loop or in a task.
package final class EtcdMetadataStore: MetadataStore {
    /// How many conditions, and how many puts and deletes, a transaction should have at most: by default etcd takes 128
    /// of either, and 1.5 MB. What is more than etcd takes fails as `unavailable`.
    package static let maximumOperations = 100

    private struct State {
        var watch: EtcdWatch?
        var isClosed = false
    }

    private let connections: EtcdConnections
    private let keys: EtcdKeys
    private let news = EtcdNews()
    private let session: EtcdSession
    private let state = Mutex(State())

    /// Checks the configuration and reads the TLS files; a connection is made by the first call.
    package init(_ configuration: EtcdConfiguration) throws(MetadataStoreError) {
        connections = try EtcdConnections(configuration)
        keys = EtcdKeys(prefix: configuration.keyPrefix)
        session = EtcdSession(connections, news: news)
    }

    package func snapshot() throws(MetadataStoreError) -> MetadataSnapshot {
        let limit = connections.configuration.requestTimeout * 4
        do {
            return try Blocking.wait(atMost: limit) { [connections, keys] () async throws(EtcdFailure) in
                try await connections.snapshot(keys, until: .now + limit)
            }
        } catch {
            throw error.forReading
        }
    }

    @discardableResult
    package func commit(_ transaction: MetadataTransaction) throws(MetadataStoreError) -> Int64 {
        let lease = session.leaseId
        if lease == nil, transaction.puts.contains(where: \.isEphemeral) { throw .noSession }
        let request = transaction.request(keys, lease: lease ?? 0)
        let timeout = connections.configuration.requestTimeout
        let response: Etcdserverpb_TxnResponse
        do {
            // Not repeatable: the second of two would fail by the conditions that the first made false.
            response = try Blocking.wait(atMost: timeout) { [connections] () async throws(EtcdFailure) in
                try await connections.call(
                    Etcdserverpb_KV.Method.Txn.descriptor, request, returning: Etcdserverpb_TxnResponse.self,
                    repeatable: false, timeout: timeout, requestBytes: transaction.bytes)
            }
        } catch {
            if error.kind == .leaseNotFound, let lease { session.ended(lease) }
            throw error.forWriting
        }
        guard response.succeeded else { throw .conflict(key: transaction.conflict(in: response)) }
        return response.header.revision
    }

    package func observe(after revision: Int64, _ observer: @escaping @Sendable (MetadataNews) -> Void) {
        let previous = state.withLock { state -> EtcdWatch? in
            guard !state.isClosed else { return nil }
            let previous = state.watch
            let generation = news.replaceObserver(observer)
            let watch = EtcdWatch(connections, keys: keys, after: revision, news: news, generation: generation)
            state.watch = watch
            watch.start()
            return previous
        }
        previous?.stop()
    }

    package func openSession(timeoutMilliseconds: Int64) throws(MetadataStoreError) {
        do {
            try Blocking.wait(atMost: connections.configuration.requestTimeout) {
                [session] () async throws(EtcdFailure) in
                try await session.open(timeoutMilliseconds: timeoutMilliseconds)
            }
        } catch {
            throw error.forReading
        }
    }

    package func close() {
        close(withFarewell: true)
    }

    /// Leaves without a word, as a node that is killed does: its ephemeral entries stay until the session has run out.
    /// For tests of what the others make of it.
    package func abandon() {
        close(withFarewell: false)
    }

    private func close(withFarewell: Bool) {
        let watch = state.withLock { state -> EtcdWatch?? in
            if state.isClosed { return nil }
            state.isClosed = true
            defer { state.watch = nil }
            return .some(state.watch)
        }
        guard let watch else { return }
        _ = news.replaceObserver(nil)
        // Not waited for: it may be the observer that closes the store.
        watch?.stop()
        do {
            try Blocking.wait(atMost: .seconds(2)) { [connections, session] () async throws(EtcdFailure) in
                await session.close(withFarewell: withFarewell)
                await connections.close()
            }
        } catch {
            connections.configuration.logger.warning("etcd.close-unfinished", metadata: ["reason": "\(error.reason)"])
        }
    }
}

extension EtcdConnections {
    /// All entries as of one revision, that of the first page.
    fileprivate func snapshot(
        _ keys: EtcdKeys, until deadline: ContinuousClock.Instant
    ) async throws(EtcdFailure) -> MetadataSnapshot {
        var result = MetadataSnapshot(entries: [], revision: 0)
        var request = Etcdserverpb_RangeRequest()
        request.key = keys.first
        request.rangeEnd = keys.end
        request.limit = Int64(EtcdConnections.snapshotPageEntries)
        while true {
            let remaining = ContinuousClock.now.duration(to: deadline)
            do {
                let page = try await call(
                    Etcdserverpb_KV.Method.Range.descriptor, request, returning: Etcdserverpb_RangeResponse.self,
                    repeatable: true, timeout: min(configuration.requestTimeout, remaining))
                if request.revision == 0 {
                    request.revision = page.header.revision
                    result.revision = page.header.revision
                }
                result.entries += page.kvs.map(keys.entry)
                guard page.more, let last = page.kvs.last else { return result }
                request.key = last.key + [0]
            } catch {
                // The history was compacted between two pages; there is a newer one to read.
                guard error.kind == .compacted, ContinuousClock.now < deadline else { throw error }
                result = MetadataSnapshot(entries: [], revision: 0)
                request.key = keys.first
                request.revision = 0
            }
        }
    }
}
