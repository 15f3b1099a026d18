import ClusterMetadata
import CommitLog
import Foundation
import Logging
import MartletServer
import Synchronization

/// A broker in the test's process: Martlet's own code behind a listener of 127.0.0.1, so that every client of Apache
/// Kafka can connect. Made by ``withBroker(_:isolation:_:)``.
///
/// All methods may be called from any task. Those that start and end the broker throw
/// ``TestBrokerError/Code/wrongState`` when another of them is at work.
public final class TestBroker: Sendable {
    /// How a broker ends that does not end cleanly.
    public enum Crash: Sendable, Hashable {
        /// The process is killed, as by `kill -9`; what it wrote stays.
        case process
        /// The machine loses power: of what was not synchronized to the disk, some is lost. Needs the storage in
        /// memory.
        case power
    }

    private enum State {
        case stopped
        case changing
        case running(RunningNode)
    }

    /// The address, `127.0.0.1:PORT`, as clients want it for `bootstrap.servers`. It stays the same over restarts.
    public let bootstrapServers: String
    /// The port of 127.0.0.1.
    public var port: Int { reservation.port }

    let hooks = HookRegistry()
    private let reservation: PortReservation
    private let node: Node
    private let logger: Logger
    private let storage: NodeStorage
    private let disk: SimulatedFileSystem?
    private let folder: String?
    private let state = Mutex(State.stopped)

    /// Checks the configuration; nothing runs yet.
    init(_ configuration: BrokerTestConfiguration) throws(TestBrokerError) {
        reservation = try PortReservation()
        bootstrapServers = "127.0.0.1:\(reservation.port)"
        logger = configuration.logger ?? Logger(label: "martlet.testing") { _ in SwiftLogNoOpLogHandler() }
        let brokerConfiguration = try configuration.brokerConfiguration(port: reservation.port)
        do {
            node = try Node(configuration: brokerConfiguration, logger: logger)
        } catch {
            throw TestBrokerError(.invalidSetting, error.description)
        }
        switch configuration.storage {
        case .memory(let seed):
            let disk = SimulatedFileSystem(seed: seed)
            self.disk = disk
            folder = nil
            storage = .memory(disk, MemoryMetadataStore())
        case .temporaryFolder:
            let folder = FileManager.default.temporaryDirectory.appending(
                path: "martlet-testing-\(UUID().uuidString)"
            ).path
            disk = nil
            self.folder = folder
            storage = .disk(folder)
        }
    }

    /// Whether the broker runs.
    public var isRunning: Bool {
        state.withLock { state in
            if case .running = state { true } else { false }
        }
    }

    /// The broker while it runs.
    func running() throws(TestBrokerError) -> RunningNode {
        let running = state.withLock { state -> RunningNode? in
            if case .running(let node) = state { node } else { nil }
        }
        guard let running else { throw TestBrokerError(.wrongState, "the broker does not run") }
        return running
    }

    // MARK: Start and end

    /// Starts the broker again after ``stop()`` or ``crash(_:)``, at the same address and with the data that is left.
    public func start() async throws(TestBrokerError) {
        try begin { state in
            if case .stopped = state { () } else { nil }
        } orElse: {
            "the broker runs, or is being started or stopped"
        }
        let hooks = hooks
        do {
            let running = try await node.start(storage) { broker in InterceptionHandler(hooks: hooks, broker: broker) }
            state.withLock { $0 = .running(running) }
        } catch {
            state.withLock { $0 = .stopped }
            throw TestBrokerError(.notStarted, "the broker was not started: \(error)")
        }
    }

    /// Stops the broker cleanly: requests that it has are answered, connections closed. Clients find nobody at the
    /// address until ``start()``.
    public func stop() async throws(TestBrokerError) {
        let running = try take()
        defer { state.withLock { $0 = .stopped } }
        do {
            try await running.stop()
        } catch {
            throw TestBrokerError(.notStopped, "\(error)")
        }
    }

    /// Stops the broker cleanly and starts it again.
    public func restart() async throws(TestBrokerError) {
        try await stop()
        try await start()
    }

    /// Ends the broker in the midst of things. Clients find nobody at the address until ``start()``, which recovers as
    /// a server would.
    public func crash(_ crash: Crash = .process) async throws(TestBrokerError) {
        if crash == .power && disk == nil {
            throw TestBrokerError(.wrongState, "only a broker with its storage in memory can lose power")
        }
        let running = try take()
        let disk = disk
        await running.crash {
            switch crash {
            case .process: disk?.restartProcess()
            case .power: disk?.restart()
            }
        }
        state.withLock { $0 = .stopped }
    }

    /// Ends the broker for good and removes its data.
    func end() async throws(TestBrokerError) {
        hooks.removeAll()
        defer { removeFolder() }
        if isRunning { try await stop() }
    }

    private func removeFolder() {
        guard let folder, FileManager.default.fileExists(atPath: folder) else { return }
        do {
            try FileManager.default.removeItem(atPath: folder)
        } catch {
            logger.warning("folder.not-removed", metadata: ["path": "\(folder)", "error": "\(error)"])
        }
    }

    private func take() throws(TestBrokerError) -> RunningNode {
        try begin { state in
            if case .running(let node) = state { node } else { nil }
        } orElse: {
            "the broker does not run, or is being started or stopped"
        }
    }

    /// Takes the broker out of a state, so that nobody else begins to change it.
    private func begin<Value: Sendable>(
        _ value: (State) -> Value?, orElse objection: () -> String
    ) throws(TestBrokerError) -> Value {
        let taken = state.withLock { state -> Value? in
            guard let value = value(state) else { return nil }
            state = .changing
            return value
        }
        guard let taken else { throw TestBrokerError(.wrongState, objection()) }
        return taken
    }
}
