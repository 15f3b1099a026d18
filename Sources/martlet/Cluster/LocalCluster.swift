import Foundation
import Synchronization

/// etcd and some nodes as processes of this machine.
final class LocalCluster: Sendable {
    private static let readyTimeout = Duration.seconds(60)
    private static let stopTimeout = Duration.seconds(45)
    private static let poll = Duration.milliseconds(20)

    private let folder: String
    private let etcdPort: Int
    private let etcd: String
    private let overrides: [String]
    let ports: [Int]
    private let processes = Mutex<[(name: String, process: Process)]>([])

    init(folder: String, count: Int, port: Int, etcdPort: Int, etcd: String, overrides: [String]) {
        self.folder = folder
        self.etcdPort = etcdPort
        self.etcd = etcd
        self.overrides = overrides
        ports = (0..<count).map { port + $0 }
    }

    // MARK: Starting

    func start() async throws {
        try make(folder)
        try startEtcd()
        try await waitForPort(etcdPort, of: "etcd")
        for (index, port) in ports.enumerated() { try startNode(index + 1, port) }
        for (index, port) in ports.enumerated() { try await waitForPort(port, of: "node \(index + 1)") }
        try await waitUntilReady()
    }

    private func startEtcd() throws {
        let client = "http://127.0.0.1:\(etcdPort)"
        let peer = "http://127.0.0.1:\(etcdPort + 1)"
        try start(
            "etcd", etcd,
            [
                "--data-dir", "\(folder)/etcd/data", "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
                "default=\(peer)",
            ])
    }

    private func startNode(_ id: Int, _ port: Int) throws {
        var settings = [
            "node.id=\(id)", "listeners=PLAINTEXT://127.0.0.1:\(port)", "metadata.store=etcd",
            "etcd.endpoints=http://127.0.0.1:\(etcdPort)",
        ]
        settings += overrides
        let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
        try start(
            "node\(id)", program,
            ["server", "--data", "\(folder)/node\(id)/data"] + settings.flatMap { ["--set", $0] })
    }

    private func start(_ name: String, _ program: String, _ arguments: [String]) throws {
        try make("\(folder)/\(name)")
        let log = "\(folder)/\(name)/log"
        guard FileManager.default.createFile(atPath: log, contents: nil), let output = FileHandle(forWritingAtPath: log)
        else { throw LocalClusterError("cannot write \(log)") }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        // A group of its own: Ctrl-C reaches this program alone, which then stops the others in order.
        process.arguments = ["setsid", "--wait", program] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        do {
            try process.run()
        } catch {
            throw LocalClusterError("cannot start \(program): \(error.localizedDescription)")
        }
        processes.withLock { $0.append((name, process)) }
    }

    private func make(_ folder: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw LocalClusterError("cannot make \(folder): \(error.localizedDescription)")
        }
    }

    private func waitForPort(_ port: Int, of name: String) async throws {
        let end = ContinuousClock.now + Self.readyTimeout
        while !Self.answers(port) {
            try checkAlive()
            guard ContinuousClock.now < end else {
                throw LocalClusterError("\(name) does not listen on port \(port); see its log in \(folder)")
            }
            try await Task.sleep(for: Self.poll)
        }
    }

    /// Until each node's log says so.
    private func waitUntilReady() async throws {
        let end = ContinuousClock.now + Self.readyTimeout
        for index in ports.indices {
            let log = "\(folder)/node\(index + 1)/log"
            while true {
                let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
                if text.contains("node.ready") { break }
                try checkAlive()
                guard ContinuousClock.now < end else {
                    throw LocalClusterError("node \(index + 1) is not ready; see \(log)")
                }
                try await Task.sleep(for: Self.poll)
            }
        }
    }

    private static func answers(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    // MARK: Running

    /// Until somebody cancels. A node that ends is told, and the others go on: that is what they are there for.
    func watch() async throws {
        var ended: Set<String> = []
        while true {
            try await Task.sleep(for: .milliseconds(200))
            let running = processes.withLock { $0 }
            for (name, process) in running where !process.isRunning && ended.insert(name).inserted {
                Terminal.note("\(name) has ended with code \(process.terminationStatus); see \(folder)/\(name)/log")
            }
        }
    }

    private func checkAlive() throws {
        let running = processes.withLock { $0 }
        for (name, process) in running where !process.isRunning {
            throw LocalClusterError(
                "\(name) ended with code \(process.terminationStatus); \(folder)/\(name)/log says why")
        }
    }

    // MARK: Stopping

    /// The nodes first, one after the other so that each hands over what it leads, then etcd.
    func stop() async {
        let running = processes.withLock { processes in
            defer { processes.removeAll() }
            return processes
        }
        for (name, process) in running.reversed() where process.isRunning {
            Self.terminate(process.processIdentifier, SIGTERM)
            let end = ContinuousClock.now + Self.stopTimeout
            while process.isRunning, ContinuousClock.now < end {
                // Not cancellable: what was started is stopped.
                await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                    DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(20)) { continuation.resume() }
                }
            }
            if process.isRunning {
                Terminal.note("\(name) does not stop; it is killed")
                Self.terminate(process.processIdentifier, SIGKILL)
            }
        }
    }

    /// The program is the child of `setsid`, which waits for it.
    private static func terminate(_ parent: Int32, _ signal: Int32) {
        let children = (try? String(contentsOfFile: "/proc/\(parent)/task/\(parent)/children", encoding: .utf8)) ?? ""
        let identifiers = children.split(separator: " ").compactMap {
            Int32($0.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        for child in identifiers { kill(child, signal) }
        if identifiers.isEmpty { kill(parent, signal) }
    }
}

struct LocalClusterError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
