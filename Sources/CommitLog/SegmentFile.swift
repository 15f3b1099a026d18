/// A segment's `.log` file. Who holds a reference can read it, even after the log has removed the segment.
package final class SegmentFile: Sendable {
    /// The offset that the segment was made for.
    package let baseOffset: Int64
    package let file: any File

    init(baseOffset: Int64, file: any File) {
        self.baseOffset = baseOffset
        self.file = file
    }

    /// For sendfile; nil when the file is not the system's.
    package var descriptor: Int32? { file.descriptor }
}

/// Bytes of a log: whole batches, but for the last one, which may be cut.
package struct LogSlice: Sendable {
    package var file: SegmentFile
    package var position: Int64
    package var length: Int
    /// The base offset of the first batch, at or below the offset asked for; the offset asked for when empty.
    package var firstBatchBaseOffset: Int64
    /// Whether other segments follow, so that there is more to read than this.
    package var isFromClosedSegment: Bool { followingOffset != nil }
    /// Where the next segment begins; none of the slice's records are so far.
    package var followingOffset: Int64?

    package var isEmpty: Bool { length == 0 }
}
