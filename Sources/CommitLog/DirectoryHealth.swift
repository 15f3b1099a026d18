import Synchronization

/// Whether a data directory can still be trusted. Goes from online to offline once, for good.
package final class DirectoryHealth: Sendable {
    private let offline = Atomic<Bool>(false)
    private let cause = Mutex<FileSystemError?>(nil)

    package init() {}

    package var isOffline: Bool { offline.load(ordering: .acquiring) }

    /// The failure that took the directory offline.
    package var failure: FileSystemError? { cause.withLock { $0 } }

    func goOffline(_ error: FileSystemError) {
        cause.withLock { if $0 == nil { $0 = error } }
        offline.store(true, ordering: .releasing)
    }
}
