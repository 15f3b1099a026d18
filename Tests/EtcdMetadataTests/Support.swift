import ClusterMetadata
import EtcdMetadata
import Foundation
import Logging
import Synchronization
import Testing

/// Runs what waits on a thread that may; the tests' own may not.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withTaskExecutorPreference(ThreadExecutor()) { try body() }
}

/// A thread for each piece of work. It stays the test's own task, so that what fails in it is known to be the test's.
private final class ThreadExecutor: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        Thread.detachNewThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Runs the test against an etcd of its own.
func withEtcd(_ body: @escaping @Sendable (EtcdProcess) throws -> Void) async throws {
    try await onThread {
        let etcd = try EtcdProcess.started()
        defer { etcd.stop() }
        try body(etcd)
    }
}

/// Opens a store for the body, and closes it.
func withStore(
    _ endpoints: [String], timeout: Duration = .seconds(5), _ change: (inout EtcdConfiguration) -> Void = { _ in },
    _ body: (EtcdMetadataStore) throws -> Void
) throws {
    let store = try openStore(endpoints, timeout: timeout, change)
    defer { store.close() }
    try body(store)
}

func openStore(
    _ endpoints: [String], timeout: Duration = .seconds(5), _ change: (inout EtcdConfiguration) -> Void = { _ in }
) throws -> EtcdMetadataStore {
    var logger = Logger(label: "etcd-tests")
    logger.logLevel = ProcessInfo.processInfo.environment["ETCD_TEST_LOG"] == nil ? .critical : .debug
    var configuration = EtcdConfiguration(endpoints: endpoints, logger: logger)
    configuration.requestTimeout = timeout
    change(&configuration)
    return try EtcdMetadataStore(configuration)
}

func transaction(_ build: (inout MetadataTransaction) -> Void) -> MetadataTransaction {
    var transaction = MetadataTransaction()
    build(&transaction)
    return transaction
}

func bytes(_ text: String) -> [UInt8] { [UInt8](text.utf8) }

/// What went wrong; nil when nothing did.
func failure(_ body: () throws -> Void) -> MetadataStoreError? {
    do {
        try body()
        return nil
    } catch {
        return error as? MetadataStoreError
    }
}

extension MetadataStoreError {
    /// Its name without what it says.
    var name: String {
        switch self {
        case .conflict: "conflict"
        case .unavailable: "unavailable"
        case .unknownOutcome: "unknownOutcome"
        case .noSession: "noSession"
        case .corrupt: "corrupt"
        }
    }
}

extension MetadataStore {
    func value(_ key: String) throws -> String? {
        try snapshot().entries.first { $0.key == key }.map { String(decoding: $0.value, as: UTF8.self) }
    }
}

/// Keeps what an observer was told.
final class NewsRecorder: Sendable {
    struct Changes: Equatable {
        var revision: Int64
        /// `key=value`, or `-key`.
        var changes: [String]
    }

    private let news = Mutex<[MetadataNews]>([])

    func record(_ one: MetadataNews) { news.withLock { $0.append(one) } }

    var all: [MetadataNews] { news.withLock { $0 } }

    var changes: [Changes] {
        all.compactMap { one in
            guard case .changed(let changes, let revision) = one else { return nil }
            return Changes(
                revision: revision,
                changes: changes.map {
                    switch $0 {
                    case .put(let entry): "\(entry.key)=\(String(decoding: entry.value.prefix(20), as: UTF8.self))"
                    case .deleted(let key): "-\(key)"
                    }
                })
        }
    }

    /// The names of what was told, without the changes.
    var events: [String] {
        all.compactMap { one in
            switch one {
            case .changed: nil
            case .historyLost: "historyLost"
            case .sessionEnded: "sessionEnded"
            case .unavailable: "unavailable"
            case .available: "available"
            }
        }
    }
}

/// Waits until it is so.
func eventually(
    within seconds: TimeInterval = 15, _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () throws -> Bool
) throws {
    let deadline = Date.now + seconds
    while try !condition() {
        guard Date.now < deadline else {
            Issue.record("not within \(seconds) s: \(what)", sourceLocation: sourceLocation)
            throw EtcdProcess.Failure(description: "not within \(seconds) s: \(what)")
        }
        Thread.sleep(forTimeInterval: 0.02)
    }
}
