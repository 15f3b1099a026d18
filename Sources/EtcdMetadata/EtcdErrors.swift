import ClusterMetadata
import GRPCCore

/// Why a call to etcd failed. What counts is whether etcd may have acted on it.
struct EtcdFailure: Error {
    enum Kind {
        /// Nothing happened, and another try or another member may do better.
        case notDone
        /// Nothing happened, and nothing would if it were tried again.
        case refused
        /// Nothing happened: the token is not, or no longer, known.
        case tokenRefused
        /// Nothing happened: the lease is gone.
        case leaseNotFound
        /// Nothing happened: the revision asked for was compacted away.
        case compacted
        /// Sent and not answered, or answered that etcd does not know either: it may have happened, now or later.
        case unknown
    }

    var kind: Kind
    var reason: String
    /// Whether etcd itself said so; otherwise the connection is not to be trusted.
    var isFromEtcd = false
}

extension EtcdFailure {
    /// etcd closed for this node.
    static let closed = EtcdFailure(kind: .refused, reason: "the store is closed")

    init(_ error: any Error, wasSent: Bool) {
        if let failure = error as? EtcdFailure {
            self = failure
            return
        }
        guard let error = error as? RPCError else {
            self.init(kind: wasSent ? .unknown : .notDone, reason: "\(error)")
            return
        }
        let isFromEtcd = EtcdFailure.etcdPrefixes.contains { error.message.hasPrefix($0) }
        let reason = isFromEtcd ? error.message : "\(error.code): \(error.message)" + EtcdFailure.cause(of: error)
        self.init(
            kind: isFromEtcd ? .saidByEtcd(error) : wasSent ? .unknown : .notDone, reason: reason,
            isFromEtcd: isFromEtcd)
    }

    /// The library gives codes of its own to what goes wrong in this process (a reply that is too large is
    /// "resource exhausted" as well), so a code says nothing happened only beside a message of etcd's.
    private static let etcdPrefixes = ["etcdserver:", "auth:", "grpc: received message larger than max"]

    private static func cause(of error: RPCError) -> String {
        error.cause.map { " (\($0))" } ?? ""
    }

    var forReading: MetadataStoreError { .unavailable(reason) }

    var forWriting: MetadataStoreError {
        switch kind {
        case .notDone, .refused, .tokenRefused, .compacted: .unavailable(reason)
        case .leaseNotFound: .noSession
        case .unknown: .unknownOutcome(reason)
        }
    }
}

extension EtcdFailure.Kind {
    /// Those that etcd gives before it proposes a request to its log, or when it applied one without effect. All others,
    /// "request timed out", "leader changed" and "server stopped" among them, leave open what became of it.
    fileprivate static func saidByEtcd(_ error: RPCError) -> Self {
        switch error.code {
        case .unauthenticated: .tokenRefused
        case .notFound where error.message.contains("lease not found"): .leaseNotFound
        case .outOfRange where error.message.contains("compacted"): .compacted
        case .invalidArgument, .unknown:
            // A request without a token, and one whose token is older than the last change of etcd's users.
            if error.message.contains("user name is empty") || error.message.contains("auth store is old")
                || error.message.contains("revision in header is old")
            {
                .tokenRefused
            } else {
                error.code == .invalidArgument ? .refused : .unknown
            }
        case .notFound, .outOfRange, .failedPrecondition, .permissionDenied: .refused
        // "too many requests" and "database space exceeded".
        case .resourceExhausted: error.message.contains("too many requests") ? .notDone : .refused
        case .unavailable where refusedBeforehand.contains(error.message): .notDone
        default: .unknown
        }
    }

    private static let refusedBeforehand: Set<String> = [
        "etcdserver: no leader", "etcdserver: not capable", "etcdserver: unhealthy cluster",
        "etcdserver: rpc not supported for learner",
    ]
}
