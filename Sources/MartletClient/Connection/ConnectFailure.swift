import NIOCore
import NIOPosix

/// The library's errors of connecting in a few words.
enum ConnectFailure {
    static func reason(_ error: any Error) -> String {
        if let error = error as? NIOConnectionError {
            if let single = error.connectionErrors.first { return reason(single.error) }
            return error.dnsAAAAError != nil || error.dnsAError != nil ? "no such host" : "no address"
        }
        if let error = error as? IOError { return errorText(error.errnoCode) }
        if case ChannelError.connectTimeout = error { return "no answer" }
        return "\(error)"
    }

    /// Whether the host's name is unknown.
    static func isUnresolved(_ error: any Error) -> Bool {
        guard let error = error as? NIOConnectionError else { return false }
        return error.connectionErrors.isEmpty && (error.dnsAAAAError != nil || error.dnsAError != nil)
    }

    private static func errorText(_ code: CInt) -> String {
        switch code {
        case ECONNREFUSED: "connection refused"
        case EHOSTUNREACH, ENETUNREACH: "no route"
        case ETIMEDOUT: "no answer"
        default: "system error \(code)"
        }
    }
}

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif
