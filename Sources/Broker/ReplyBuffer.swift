import CommitLog
import KafkaProtocol

/// Replies on their way out: bytes, and between them stretches of log files that are sent without passing through
/// memory here.
package struct ReplyBuffer: Sendable {
    /// A stretch of a log file that goes out after the first `position` bytes.
    package struct FileStretch: Sendable {
        package var position: Int
        package var slice: LogSlice
    }

    package var writer = ByteWriter()
    package var stretches: [FileStretch] = []
    /// Bytes of all stretches together.
    package private(set) var stretchBytes = 0

    package init() {}

    package var isEmpty: Bool { writer.bytes.isEmpty }
    package var byteCount: Int { writer.bytes.count + stretchBytes }

    package mutating func append(_ slice: LogSlice) {
        guard slice.length > 0 else { return }
        stretches.append(FileStretch(position: writer.bytes.count, slice: slice))
        stretchBytes += slice.length
    }

    package mutating func append(_ other: ReplyBuffer) {
        for stretch in other.stretches {
            stretches.append(
                FileStretch(position: writer.bytes.count + stretch.position, slice: stretch.slice))
        }
        stretchBytes += other.stretchBytes
        writer.bytes.append(contentsOf: other.writer.bytes)
    }

    /// Keeps the memory for the next replies unless one of them was unusually large.
    package mutating func removeAll() {
        if writer.bytes.capacity > 256 << 10 {
            writer = ByteWriter()
        } else {
            writer.bytes.removeAll(keepingCapacity: true)
        }
        stretches.removeAll(keepingCapacity: true)
        stretchBytes = 0
    }

    // MARK: Frames

    /// Begins a reply: its length, set by `endFrame`, and its header.
    package mutating func beginFrame(correlationId: Int32, flexibleHeader: Bool) -> Frame {
        let frame = Frame(start: writer.bytes.count, stretchBytesBefore: stretchBytes)
        writer.write(Int32(0))
        writer.write(correlationId)
        if flexibleHeader { writer.noTaggedFields() }
        return frame
    }

    package mutating func endFrame(_ frame: Frame) {
        let length = writer.bytes.count - frame.start - 4 + stretchBytes - frame.stretchBytesBefore
        writer.patch(Int32(length), at: frame.start)
    }

    package struct Frame {
        fileprivate var start: Int
        fileprivate var stretchBytesBefore: Int
    }
}
