import Foundation
import Synchronization

/// An etcd of the test's own, on loopback ports and in a temporary folder.
///
/// Unchecked, because `Process` is not: a test uses one from one task at a time.
final class EtcdProcess: @unchecked Sendable {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    let port: Int
    let folder: URL
    private let arguments: [String]
    private let scheme: String
    private var process: Process?

    var endpoint: String { "\(scheme)://127.0.0.1:\(port)" }

    /// One member alone, or one of those in `cluster` (peer ports by name). The folder is removed with the process.
    init(
        name: String = "m0", cluster: [String: Int]? = nil, scheme: String = "http", folder: URL? = nil,
        additional: [String] = []
    ) throws {
        let peers = try cluster ?? [name: EtcdProcess.freePort()]
        guard let peerPort = peers[name] else { throw Failure(description: "\(name) is not in the cluster") }
        port = try EtcdProcess.freePort()
        self.scheme = scheme
        self.folder = folder ?? EtcdProcess.temporaryFolder()
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        let client = "\(scheme)://127.0.0.1:\(port)"
        arguments =
            [
                "--name", name, "--data-dir", self.folder.appendingPathComponent("data").path,
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", "http://127.0.0.1:\(peerPort)",
                "--initial-advertise-peer-urls", "http://127.0.0.1:\(peerPort)",
                "--initial-cluster",
                peers.sorted { $0.key < $1.key }.map { "\($0.key)=http://127.0.0.1:\($0.value)" }
                    .joined(separator: ","),
                "--heartbeat-interval", "50", "--election-timeout", "500", "--logger", "zap",
                "--log-level", "error",
            ] + additional
    }

    /// A member alone that answers.
    static func started() throws -> EtcdProcess {
        let etcd = try EtcdProcess()
        try etcd.start()
        // Its port is open a good while before it has elected itself.
        try etcd.control("get", "anything")
        return etcd
    }

    deinit {
        stop()
        // The folder is the system's to clear when this fails.
        try? FileManager.default.removeItem(at: folder)
    }

    /// Starts it, with the data that there is, and waits until its port is open.
    func start(waiting: Bool = true) throws {
        let process = Process()
        process.executableURL = try EtcdProcess.executable("etcd")
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        let log = folder.appendingPathComponent("etcd.log")
        _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        process.standardError = try FileHandle(forWritingTo: log)
        try process.run()
        self.process = process
        guard waiting else { return }
        let deadline = Date.now + 10
        while !isOpen() {
            guard process.isRunning, Date.now < deadline else {
                let text = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
                throw Failure(description: "etcd did not start: \(text)")
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    func kill() {
        signal(SIGKILL)
        process?.waitUntilExit()
        process = nil
    }

    func pause() { signal(SIGSTOP) }

    func resume() { signal(SIGCONT) }

    func stop() {
        guard let process, process.isRunning else { return }
        resume()
        kill()
    }

    private func signal(_ number: Int32) {
        guard let process, process.isRunning else { return }
        _ = Foundation.kill(process.processIdentifier, number)
    }

    /// Runs etcdctl against it and returns what it prints.
    @discardableResult
    func control(_ arguments: String...) throws -> String {
        try EtcdProcess.run("etcdctl", ["--endpoints", endpoint] + arguments, environment: ["ETCDCTL_API": "3"])
    }

    private func isOpen() -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        return EtcdProcess.withLoopback(port: port) { connect(descriptor, $0, $1) } == 0
    }
}

extension EtcdProcess {
    static func temporaryFolder() -> URL {
        FileManager.default.temporaryDirectory.appendingPathComponent("martlet-etcd-\(UUID().uuidString)")
    }

    /// Ports given out in this process, so that two tests that ask at once do not get the same.
    private static let given = Mutex<Set<Int>>([])

    static func freePort() throws -> Int {
        while true {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isBound = withLoopback(port: 0) { bind(descriptor, $0, $1) } == 0
            let isNamed = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) } == 0
            }
            guard isBound, isNamed else { throw Failure(description: "no free port: \(errno)") }
            let port = Int(UInt16(bigEndian: address.sin_port))
            if given.withLock({ $0.insert(port).inserted }) { return port }
        }
    }

    private static func withLoopback(port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    static func executable(_ name: String) throws -> URL {
        for folder in (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":") {
            let path = "\(folder)/\(name)"
            if FileManager.default.isExecutableFile(atPath: path) { return URL(fileURLWithPath: path) }
        }
        throw Failure(description: "no \(name) in PATH: run scripts/dependencies --tests")
    }

    @discardableResult
    static func run(_ name: String, _ arguments: [String], environment: [String: String] = [:]) throws -> String {
        let process = Process()
        process.executableURL = try executable(name)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(description: "\(name) \(arguments.joined(separator: " ")): \(text)")
        }
        return text
    }
}
