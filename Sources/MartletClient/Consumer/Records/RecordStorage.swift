import NIOCore
import RecordFormat

/// The memory of a batch's records: bytes as they came from the socket, and decompressed ones. It does not change any
/// more, so that records may point into it from any thread.
final class RecordStorage: @unchecked Sendable {
    /// The records of one batch on the wire.
    struct Section {
        let start: UnsafeRawPointer
        let end: UnsafeRawPointer
        let baseOffset: Int64
        let baseTimestamp: Int64
        /// When the broker wrote the batch, for topics whose records have that as their timestamp.
        let appendTime: Int64?
        let lastOffset: Int64
        let recordCount: Int32
        let leaderEpoch: Int32
    }

    /// Of the records, decompressed.
    var byteCount: Int { sections.reduce(0) { $0 + ($1.end - $1.start) } }

    let topicPartition: TopicPartition
    let sections: [Section]
    /// Keep the sections' bytes where they are.
    private let frame: ByteBuffer
    private let decompressed: ScratchBuffer?

    init(_ topicPartition: TopicPartition, sections: [Section], frame: ByteBuffer, decompressed: ScratchBuffer?) {
        self.topicPartition = topicPartition
        self.sections = sections
        self.frame = frame
        self.decompressed = decompressed
    }
}
