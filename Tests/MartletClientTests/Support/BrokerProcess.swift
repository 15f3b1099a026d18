import Foundation
import Synchronization
import Testing

/// `martlet server` as a process of its own, in a folder and on a port that it keeps: what users run.
final class BrokerProcess: Sendable {
    private struct State {
        var process: Process?
        var port = 0
        var runs = 0
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The program that `MARTLET_TEST_BINARY` names; nil: tests run a node in their own process.
    static let program = ProcessInfo.processInfo.environment["MARTLET_TEST_BINARY"].map { URL(filePath: $0) }

    private static let startLimit: Duration = .seconds(30)
    private static let stopLimit: Duration = .seconds(30)

    private let program: URL
    private let folder: URL
    private let settings: [String: String]
    private let state = Mutex(State())

    init(program: URL, settings: [String: String] = [:]) throws {
        self.program = program
        self.settings = settings
        folder = FileManager.default.temporaryDirectory.appending(path: "martlet-process-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    var port: Int { state.withLock { $0.port } }

    func start() async throws {
        let (run, port) = state.withLock { state in
            state.runs += 1
            return (state.runs, state.port)
        }
        let log = folder.appending(path: "broker-\(run).log")
        try Data().write(to: log)
        let process = Process()
        process.executableURL = program
        process.arguments =
            ["server", "--data", folder.appending(path: "data").path, "--listen", "127.0.0.1:\(port)"]
            + settings.sorted { $0.key < $1.key }.flatMap { ["--set", "\($0.key)=\($0.value)"] }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = try FileHandle(forWritingTo: log)
        try process.run()
        let end = ContinuousClock.now + Self.startLimit
        while true {
            let text = try String(contentsOf: log, encoding: .utf8)
            if let ready = text.firstMatch(of: /listener=PLAINTEXT:\/\/127\.0\.0\.1:(\d+).*node\.ready/) {
                state.withLock { state in
                    state.process = process
                    state.port = Int(ready.1)!
                }
                return
            }
            guard process.isRunning, ContinuousClock.now < end else {
                process.terminate()
                throw Failure(description: "the broker is not ready:\n\(text)")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// SIGTERM, which must end it cleanly; nothing when it does not run.
    func stop() async throws {
        guard let process = take() else { return }
        process.terminate()
        let status = try await end(of: process)
        #expect(status == 0, "the broker did not stop cleanly")
    }

    /// SIGKILL: what was not handed to the kernel is gone.
    func crash() async throws {
        guard let process = take() else { return }
        kill(process.processIdentifier, SIGKILL)
        _ = try await end(of: process)
    }

    func restart() async throws {
        try await stop()
        try await start()
    }

    /// Ends it and removes what it has left.
    func finish() async throws {
        try await stop()
        try FileManager.default.removeItem(at: folder)
    }

    private func take() -> Process? {
        state.withLock { state in
            defer { state.process = nil }
            return state.process
        }
    }

    private func end(of process: Process) async throws -> Int32 {
        let end = ContinuousClock.now + Self.stopLimit
        while process.isRunning {
            guard ContinuousClock.now < end else {
                kill(process.processIdentifier, SIGKILL)
                throw Failure(description: "the broker did not end within \(Self.stopLimit) of SIGTERM")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        return process.terminationStatus
    }
}
