import RecordFormat
import Synchronization

/// The records of one partition on this broker: segments of batches in offset order, the newest of which is appended
/// to. All methods may be called from any thread.
///
/// The lock is held for appends, look-ups in memory and changes of the segment list; reads of log data and
/// synchronization happen outside it.
package final class Log: @unchecked Sendable {
    // Sendable: mutable fields are touched only under `lock`, but for the atomics.

    package let name: PartitionName
    let fileSystem: any FileSystem
    package let health: DirectoryHealth

    let lock = Lock()
    /// One synchronization at a time. Taken before `lock`, never after it.
    let synchronizing = Lock()

    enum State {
        case open, closing, closed
    }

    // MARK: Under the lock

    var path: String
    var configuration: LogConfiguration
    var state = State.open
    /// By base offset, never empty while open; the last one is appended to.
    var segments: [Segment]
    var producers: ProducerStateManager
    var epochs: LeaderEpochCache
    /// The epochs' file still names some that were cut at the start.
    var epochsAreDirty = false
    var recent = RecentBatches()
    /// Sealed segments with bytes or indexes that were not synchronized.
    var unsynchronizedSealed: [Segment] = []
    /// Names in the directory were changed since it was synchronized.
    var directoryIsDirty = true
    /// Counts the truncations, so that a synchronization that crossed one claims nothing.
    var truncations = 0
    var pendingDeletions: [PendingDeletion] = []
    var lastSynchronizedAt: Int64
    /// Serves `cleaner-offset-checkpoint`: everything before is compacted.
    var cleanedUpTo: Int64 = 0
    /// The largest recovery point that a checkpoint may hold: segments wholly below it are not walked after a crash,
    /// so they must be durable before the next one begins.
    var checkpointedRecoveryPoint: Int64
    /// The recovery point that a checkpoint surely holds.
    var persistedRecoveryPoint: Int64
    /// Offsets of `.snapshot` files on disk, ascending.
    var snapshotOffsets: [Int64] = []
    /// Set from the first to the last step of a compaction of this log.
    var isCleaning = false
    var authority = Authority.anyone

    /// Who may append. Changed under the lock, so that nothing of an earlier role comes after the change.
    enum Authority: Equatable {
        /// Nobody has said; for logs outside a broker.
        case anyone
        case leader(epoch: Int32)
        case follower(epoch: Int32)
    }

    /// A removed segment's files, kept for a while for those who still read them by name.
    struct PendingDeletion {
        var paths: [String]
        var due: Int64
    }

    // MARK: Read without the lock

    private let start: Atomic<Int64>
    private let end: Atomic<Int64>
    private let durable: Atomic<Int64>
    private let watermark: Atomic<Int64>
    private let firstUnstable: Atomic<Int64>
    private let bytes: Atomic<Int64>
    private let epoch: Atomic<Int32>

    init(_ recovered: RecoveredLog) {
        name = recovered.opening.name
        fileSystem = recovered.opening.fileSystem
        health = recovered.opening.health
        path = recovered.opening.path
        configuration = recovered.opening.configuration
        segments = recovered.segments
        producers = recovered.producers
        epochs = recovered.epochs
        snapshotOffsets = recovered.snapshotOffsets
        lastSynchronizedAt = recovered.opening.now
        checkpointedRecoveryPoint = recovered.opening.recoveryPoint
        persistedRecoveryPoint = min(recovered.opening.recoveryPoint, recovered.endOffset)
        start = Atomic(recovered.startOffset)
        end = Atomic(recovered.endOffset)
        durable = Atomic(min(recovered.durableOffset, recovered.endOffset))
        watermark = Atomic(recovered.startOffset)
        firstUnstable = Atomic(.max)
        bytes = Atomic(0)
        epoch = Atomic(recovered.epochs.latestEpoch ?? -1)
        publish()
    }

    /// The first offset that can be read.
    package var startOffset: Int64 { start.load(ordering: .acquiring) }
    /// The offset that the next record gets.
    package var endOffset: Int64 { end.load(ordering: .acquiring) }
    /// Records below this are on stable storage.
    package var durableOffset: Int64 { durable.load(ordering: .acquiring) }
    /// Records below this are committed. What `updateHighWatermark` was told.
    package var highWatermark: Int64 { watermark.load(ordering: .acquiring) }
    /// Records below this are committed and belong to no undecided transaction.
    package var lastStableOffset: Int64 {
        // An open transaction's first records may be deleted.
        max(startOffset, min(highWatermark, firstUnstable.load(ordering: .acquiring)))
    }
    /// The bytes of all segments.
    package var size: Int64 { bytes.load(ordering: .acquiring) }
    /// The latest leader epoch; -1 for none.
    package var latestEpoch: Int32 { epoch.load(ordering: .acquiring) }

    package var currentConfiguration: LogConfiguration { lock.withLock { configuration } }
    /// Whether the topic's durability is `fsync`.
    package var waitsForSync: Bool { lock.withLock { configuration.durability == .fsync } }
    package var directoryPath: String { lock.withLock { path } }
    package var segmentCount: Int { lock.withLock { segments.count } }
    package var isClosed: Bool { lock.withLock { state == .closed } }

    package func updateConfiguration(_ new: LogConfiguration) {
        lock.withLock { configuration = new }
    }

    /// From here on only the leader of this epoch appends, or the follower of one.
    package func setRole(isLeader: Bool, epoch: Int32) {
        lock.withLock { authority = isLeader ? .leader(epoch: epoch) : .follower(epoch: epoch) }
    }

    /// Tells the log up to where its records are committed. Never below the start or beyond the end.
    package func updateHighWatermark(_ offset: Int64) {
        let offset = max(min(offset, endOffset), startOffset)
        // Two loops may report at once, in either order.
        watermark.max(offset, ordering: .releasing)
        // Without transactions, which is nearly always, no lock is needed.
        guard firstUnstable.load(ordering: .acquiring) != .max else { return }
        lock.withLock {
            producers.highWatermarkMoved(to: offset)
            publishTransactions()
        }
    }

    // MARK: For the extensions, under the lock

    var active: Segment {
        guard let last = segments.last else { preconditionFailure("an open log has a segment") }
        return last
    }

    func setStart(_ offset: Int64) {
        start.store(offset, ordering: .releasing)
        if highWatermark < offset { watermark.store(offset, ordering: .releasing) }
    }

    /// Sets the start of an emptied log, which may lie below the old one.
    func resetStart(to offset: Int64) {
        start.store(offset, ordering: .releasing)
        watermark.store(offset, ordering: .releasing)
    }

    /// The offset becomes visible only after everything that readers of it need.
    func setEnd(_ offset: Int64) {
        end.store(offset, ordering: .releasing)
        if highWatermark > offset { watermark.store(offset, ordering: .releasing) }
        if durableOffset > offset { durable.store(offset, ordering: .releasing) }
    }

    func setDurable(_ offset: Int64) {
        durable.store(offset, ordering: .releasing)
    }

    func publishTransactions() {
        firstUnstable.store(producers.firstUnstableOffset ?? .max, ordering: .releasing)
    }

    /// Brings the atomics in line with the fields.
    func publish() {
        bytes.store(segments.reduce(0) { $0 + $1.size }, ordering: .releasing)
        epoch.store(epochs.latestEpoch ?? -1, ordering: .releasing)
        publishTransactions()
    }

    func publishEpoch() {
        epoch.store(epochs.latestEpoch ?? -1, ordering: .releasing)
    }

    func addBytes(_ count: Int) {
        bytes.store(size + Int64(count), ordering: .releasing)
    }

    /// Index of the segment whose range holds `offset`, the first one for lower offsets.
    func segmentIndex(for offset: Int64) -> Int {
        var low = 0
        var high = segments.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if segments[middle].baseOffset <= offset { low = middle } else { high = middle }
        }
        return low
    }

    /// The offset after the last one that segment number `index` can hold.
    func upperBound(ofSegment index: Int) -> Int64 {
        index + 1 < segments.count ? segments[index + 1].baseOffset : endOffset
    }

    func checkUsable() throws(LogError) {
        if health.isOffline { throw .offline }
        if state == .closed { throw .closed }
    }

    /// Runs `body` under the lock on an open log. A failure of the file system takes the directory offline, since
    /// memory and disk may now differ.
    func change<Result>(_ body: () throws(LogError) -> Result) throws(LogError) -> Result {
        try lock.withLock { () throws(LogError) in
            try checkUsable()
            do throws(LogError) {
                return try body()
            } catch {
                if case .storageFailure(let failure) = error { health.goOffline(failure) }
                throw error
            }
        }
    }
}

/// Names the failures of the file system as a log's.
func storing<Result>(_ body: () throws(FileSystemError) -> Result) throws(LogError) -> Result {
    do {
        return try body()
    } catch {
        throw .storageFailure(error)
    }
}
