import ClusterMetadata
import GRPCCore
import Logging
import Synchronization

/// The lease that this node's ephemeral entries hang on, and what keeps it alive.
///
/// Only etcd ends a session: while it keeps silent it may have no quorum, and then no lease runs out either.
final class EtcdSession: Sendable {
    private struct Lease {
        var id: Int64
        var keepAlive: Task<Void, Never>
    }

    private static let longestPause = Duration.milliseconds(500)

    private let connections: EtcdConnections
    private let news: EtcdNews
    private let lease = Mutex<Lease?>(nil)

    init(_ connections: EtcdConnections, news: EtcdNews) {
        self.connections = connections
        self.news = news
    }

    /// nil when there is no session.
    var leaseId: Int64? { lease.withLock { $0?.id } }

    /// Begins a session unless there is one.
    func open(timeoutMilliseconds: Int64) async throws(EtcdFailure) {
        guard leaseId == nil else { return }
        var request = Etcdserverpb_LeaseGrantRequest()
        // etcd looks for leases that ran out each half second, and then says so to all: a second less keeps the promise.
        request.ttl = max(1, (timeoutMilliseconds + 999) / 1000 - 1)
        // A lease granted without this node hearing of it holds nothing and runs out, so asking again is harmless.
        let granted = try await connections.call(
            Etcdserverpb_Lease.Method.LeaseGrant.descriptor, request,
            returning: Etcdserverpb_LeaseGrantResponse.self, repeatable: true,
            timeout: connections.configuration.requestTimeout)
        guard granted.error.isEmpty, granted.id != 0 else {
            throw EtcdFailure(kind: .refused, reason: granted.error, isFromEtcd: true)
        }
        let interval = Duration.milliseconds(max(100, timeoutMilliseconds / 4))
        let isFirst = lease.withLock { lease in
            guard lease == nil else { return false }
            lease = Lease(id: granted.id, keepAlive: Task { await self.keepAlive(granted.id, every: interval) })
            return true
        }
        guard isFirst else { return await revoke(granted.id) }
        news.sessionBegan()
        connections.configuration.logger.info(
            "etcd.session-began", metadata: ["lease": "\(granted.id)", "seconds": "\(granted.ttl)"])
    }

    /// etcd does not know the lease any more.
    func ended(_ id: Int64) {
        let ended = lease.withLock { lease -> Lease? in
            guard let current = lease, current.id == id else { return nil }
            lease = nil
            return current
        }
        guard let ended else { return }
        ended.keepAlive.cancel()
        connections.configuration.logger.warning("etcd.session-ended", metadata: ["lease": "\(id)"])
        news.sessionEnded()
    }

    /// Ends the session. Without the farewell etcd takes this node for one that was killed, until the lease runs out.
    func close(withFarewell: Bool) async {
        let closed = lease.withLock { lease -> Lease? in
            defer { lease = nil }
            return lease
        }
        guard let closed else { return }
        closed.keepAlive.cancel()
        if withFarewell { await revoke(closed.id) }
    }

    private func revoke(_ id: Int64) async {
        var request = Etcdserverpb_LeaseRevokeRequest()
        request.id = id
        do {
            _ = try await connections.call(
                Etcdserverpb_Lease.Method.LeaseRevoke.descriptor, request,
                returning: Etcdserverpb_LeaseRevokeResponse.self, repeatable: true, timeout: .seconds(1))
        } catch {
            // Nothing is lost but time: it runs out by itself.
            connections.configuration.logger.info("etcd.lease-not-revoked", metadata: ["reason": "\(error.reason)"])
        }
    }

    private func keepAlive(_ id: Int64, every interval: Duration) async {
        var request = Etcdserverpb_LeaseKeepAliveRequest()
        request.id = id
        var pause = interval
        while (try? await Task.sleep(for: pause)) != nil {
            do throws(EtcdFailure) {
                let response = try await connections.call(
                    Etcdserverpb_Lease.Method.LeaseKeepAlive.descriptor, request,
                    returning: Etcdserverpb_LeaseKeepAliveResponse.self, repeatable: true,
                    timeout: max(interval, .seconds(1)))
                if response.ttl <= 0 { return ended(id) }
                pause = interval
            } catch {
                if error.kind == .leaseNotFound { return ended(id) }
                if Task.isCancelled { return }
                connections.configuration.logger.debug(
                    "etcd.keep-alive-failed", metadata: ["reason": "\(error.reason)"])
                pause = min(interval, EtcdSession.longestPause)
            }
        }
    }
}
