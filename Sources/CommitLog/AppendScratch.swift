import Glibc
import RecordFormat

/// The memory of one append: what to write, and what to take back if the write fails. Used again by the next append
/// of any log.
final class AppendScratch {
    /// Batches below this length are copied, so that many of them are one piece of the write.
    static let copyLimit = 1024
    /// The part of a batch that the log writes from its own memory: base offset, length and leader epoch.
    private static let patchedLength = 16
    private static let bytesCapacity = 256 * 1024

    private let pieces = UnsafeMutableBufferPointer<iovec>.allocate(capacity: maximumWritePieces)
    private let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: bytesCapacity, alignment: 64)
    private var pieceCount = 0
    private var byteCount = 0
    /// How many bytes the pieces are together.
    private(set) var totalLength = 0
    var undos: [ProducerStateManager.Undo] = []
    /// A follower's batches, in order.
    var replicated: [(RecordBatchHeader, EndTransactionMarker?)] = []
    var completed: [(ProducerStateManager.CompletedTransaction, lastStableOffset: Int64)] = []

    deinit {
        pieces.deallocate()
        bytes.deallocate()
    }

    func reset() {
        pieceCount = 0
        byteCount = 0
        totalLength = 0
        undos.removeAll(keepingCapacity: true)
        completed.removeAll(keepingCapacity: true)
        replicated.removeAll(keepingCapacity: true)
    }

    var isEmpty: Bool { pieceCount == 0 }

    var piecesToWrite: UnsafeMutableBufferPointer<iovec> {
        UnsafeMutableBufferPointer(rebasing: pieces[..<pieceCount])
    }

    /// Whether another batch fits; otherwise what is here must be written first.
    func hasRoom(for length: Int) -> Bool {
        pieceCount + 2 <= maximumWritePieces
            && byteCount + (length < Self.copyLimit ? length : Self.patchedLength) <= Self.bytesCapacity
    }

    /// Adds a batch with `baseOffset` and `leaderEpoch` instead of its own.
    func add(_ batch: UnsafeRawBufferPointer, baseOffset: Int64, leaderEpoch: Int32) {
        let copied = batch.count < Self.copyLimit ? batch.count : Self.patchedLength
        let target = UnsafeMutableRawBufferPointer(rebasing: bytes[byteCount..<(byteCount + copied)])
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: batch[..<copied]))
        target.storeBigEndian(baseOffset, at: 0)
        target.storeBigEndian(leaderEpoch, at: 12)
        byteCount += copied
        addPiece(target.baseAddress!, copied)
        if copied < batch.count {
            addPiece(UnsafeMutableRawPointer(mutating: batch.baseAddress! + copied), batch.count - copied)
        }
        totalLength += batch.count
    }

    /// Adds bytes as they are.
    func add(_ batch: UnsafeRawBufferPointer) {
        addPiece(UnsafeMutableRawPointer(mutating: batch.baseAddress!), batch.count)
        totalLength += batch.count
    }

    private func addPiece(_ start: UnsafeMutableRawPointer, _ count: Int) {
        if pieceCount > 0 {
            let last = pieces[pieceCount - 1]
            if last.iov_base.map({ $0 + last.iov_len }) == start {
                pieces[pieceCount - 1].iov_len += count
                return
            }
        }
        pieces[pieceCount] = iovec(iov_base: start, iov_len: count)
        pieceCount += 1
    }

    // MARK: The pool

    private static let pool = Pool()

    private final class Pool: @unchecked Sendable {
        // Sendable: the array is touched only under the lock.
        private let lock = Lock()
        private var free: [AppendScratch] = []

        func take() -> AppendScratch {
            lock.withLock { free.popLast() } ?? AppendScratch()
        }

        func give(_ scratch: AppendScratch) {
            lock.withLock { if free.count < 64 { free.append(scratch) } }
        }
    }

    static func with<Result>(_ body: (AppendScratch) -> Result) -> Result {
        let scratch = pool.take()
        scratch.reset()
        defer { pool.give(scratch) }
        return body(scratch)
    }
}
