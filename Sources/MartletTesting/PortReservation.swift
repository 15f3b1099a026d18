import Glibc

/// A port of 127.0.0.1 that stays the test's own, also while no broker listens there: a socket is bound to it and never
/// listens. The broker binds beside it, as both allow the reuse of the address.
final class PortReservation: Sendable {
    let port: Int
    private let descriptor: Int32

    init() throws(TestBrokerError) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw PortReservation.failure() }
        self.descriptor = descriptor
        var reuse: Int32 = 1
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> Int32 in
                guard
                    setsockopt(
                        descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size)) == 0
                else { return -1 }
                guard bind(descriptor, generic, length) == 0 else { return -1 }
                return getsockname(descriptor, generic, &length)
            }
        }
        guard status == 0 else {
            let failure = PortReservation.failure()
            close(descriptor)
            throw failure
        }
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    private static func failure() -> TestBrokerError {
        TestBrokerError(.notStarted, "no port of 127.0.0.1 can be had: \(String(cString: strerror(errno)))")
    }

    deinit {
        close(descriptor)
    }
}
