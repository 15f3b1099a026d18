import Glibc
import Logging

/// Each partition keeps three files open and each connection one. The soft limit that a shell gives, often 1,024, is
/// for programs that use `select`; this one may take what the administrator allows.
enum OpenFileLimit {
    static func raise(_ logger: Logger) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            logger.warning("files.limit-unknown", metadata: ["error": "\(String(cString: strerror(errno)))"])
            return
        }
        guard limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
            logger.warning("files.limit-not-raised", metadata: ["error": "\(String(cString: strerror(errno)))"])
        }
    }
}
