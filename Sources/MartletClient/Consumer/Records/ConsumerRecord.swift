/// A consumed record. It shares the memory of the batch that it came with; whoever keeps a record for long copies what is
/// of interest.
public struct ConsumerRecord: Sendable {
    /// The record's offset in its partition.
    public let offset: Int64
    /// Milliseconds since the epoch: the producer's, or the broker's with `message.timestamp.type=LogAppendTime`; -1 for
    /// none.
    public let timestamp: Int64
    // The storage keeps what it points to and nobody writes to it.
    private nonisolated(unsafe) let start: UnsafeRawPointer
    private let storage: RecordStorage
    private let keyStart: Int32
    private let keyLength: Int32
    private let valueStart: Int32
    private let valueLength: Int32
    private let headersStart: Int32
    private let headerCount: Int32

    @inline(__always)
    init(_ layout: RecordLayout, at start: UnsafeRawPointer, offset: Int64, timestamp: Int64, storage: RecordStorage) {
        self.offset = offset
        self.timestamp = timestamp
        self.start = start
        self.storage = storage
        keyStart = layout.keyStart
        keyLength = layout.keyLength
        valueStart = layout.valueStart
        valueLength = layout.valueLength
        headersStart = layout.headersStart
        headerCount = layout.headerCount
    }

    /// The topic's name.
    public var topic: String { storage.topicPartition.topic }
    /// The partition's number.
    public var partition: Int32 { storage.topicPartition.partition }
    /// The partition by name.
    public var topicPartition: TopicPartition { storage.topicPartition }

    /// nil: no key.
    public var key: RecordBytes? {
        keyLength < 0
            ? nil : RecordBytes(start: start + Int(keyStart), count: Int(keyLength), storage: storage)
    }

    /// nil: a tombstone.
    public var value: RecordBytes? {
        valueLength < 0
            ? nil : RecordBytes(start: start + Int(valueStart), count: Int(valueLength), storage: storage)
    }

    /// Whether there are headers; cheaper than to make them.
    public var hasHeaders: Bool { headerCount > 0 }

    /// In the producer's order. They are read, and copied, with each call.
    public var headers: [Header] {
        guard headerCount > 0 else { return [] }
        defer { withExtendedLifetime(storage) {} }
        var reader = RecordReader(position: start + Int(headersStart), end: storageEnd)
        var headers: [Header] = []
        for _ in 0..<headerCount {
            guard let key = reader.range(from: start), let value = reader.range(from: start) else {
                preconditionFailure("the headers were checked with the batch")
            }
            headers.append(
                Header(
                    key: String(
                        decoding: UnsafeRawBufferPointer(start: start + Int(key.start), count: Int(key.length)),
                        as: UTF8.self),
                    value: value.length < 0
                        ? nil
                        : [UInt8](
                            UnsafeRawBufferPointer(start: start + Int(value.start), count: Int(value.length)))))
        }
        return headers
    }

    private var storageEnd: UnsafeRawPointer {
        guard let section = storage.sections.first(where: { $0.start <= start && start < $0.end }) else {
            preconditionFailure("a record lies in a section of its storage")
        }
        return section.end
    }
}
