import RecordFormat
import Testing

@testable import CommitLog

/// Batches and logs for the tests.
enum Fixture {
    static func batch(
        _ values: [String], key: String? = nil, timestamp: Int64 = 1000, codec: CompressionCodec = .none,
        producerId: Int64 = -1, epoch: Int16 = -1, sequence: Int32 = -1, transactional: Bool = false,
        baseOffset: Int64 = 0, leaderEpoch: Int32 = -1
    ) -> [UInt8] {
        var builder = RecordBatchBuilder(
            codec: codec, attributes: transactional ? [.transactional] : [], baseOffset: baseOffset,
            partitionLeaderEpoch: leaderEpoch, producerId: producerId, producerEpoch: epoch, baseSequence: sequence)
        for value in values {
            builder.append(key: key.map { Array($0.utf8) }, value: Array(value.utf8), timestamp: timestamp)
        }
        do {
            return try builder.build()
        } catch {
            fatalError("\(error)")
        }
    }

    static func configuration(segmentBytes: Int64 = 1 << 20) -> LogConfiguration {
        var configuration = LogConfiguration()
        configuration.segmentBytes = segmentBytes
        configuration.indexIntervalBytes = 200
        configuration.preallocationChunkBytes = 0
        configuration.fileDeleteDelayMilliseconds = 0
        return configuration
    }

    static func open(
        _ fileSystem: any FileSystem, _ configuration: LogConfiguration = configuration(), clean: Bool = true,
        recoveryPoint: Int64 = 0, start: Int64 = 0, now: Int64 = 1000
    ) throws -> Log {
        try fileSystem.createDirectory("t-0")
        try fileSystem.synchronizeDirectory(".")
        return try Log.open(
            LogOpening(
                name: PartitionName(topic: "t", partition: 0), path: "t-0", fileSystem: fileSystem,
                configuration: configuration, recoveryPoint: recoveryPoint, logStartOffset: start,
                wasCleanShutdown: clean, now: now)
        ).log
    }
}

extension Log {
    /// Appends one tick of batches. Without a permission, markers come from a coordinator and transactions were
    /// verified.
    @discardableResult
    func append(
        _ batches: [[UInt8]], epoch: Int32 = 0, now: Int64 = 1000, _ permission: AppendPermission? = nil
    ) -> [AppendOutcome] {
        let copies = batches.map { bytes in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            copy.copyBytes(from: bytes)
            return UnsafeRawBufferPointer(copy)
        }
        defer { for copy in copies { copy.deallocate() } }
        var pending = copies.compactMap { bytes in
            RecordBatchHeader(bytes).map { header in
                PendingAppend(
                    header: header, bytes: bytes,
                    permission: permission
                        ?? (header.isControl
                            ? .marker(transactionVersion: 0)
                            : header.isTransactional ? .verified(at: endOffset) : .client))
            }
        }
        append(&pending, leaderEpoch: epoch, now: now)
        for (copy, original) in zip(copies, batches) {
            precondition(copy.elementsEqual(original), "the caller's bytes are not the log's to change")
        }
        return pending.map(\.outcome)
    }

    /// All bytes from `offset` on.
    func bytes(from offset: Int64, upTo: Int64 = .max) throws -> [UInt8] {
        var all: [UInt8] = []
        var next = offset
        while next < min(upTo, endOffset) {
            let slice = try read(from: next, maxBytes: 1 << 20, minOneBatch: true, upTo: upTo)
            guard !slice.isEmpty else { break }
            var bytes = [UInt8](repeating: 0, count: slice.length)
            let count = try bytes.withUnsafeMutableBytes { try copy(slice, into: $0) }
            guard count == slice.length else { break }
            all += bytes
            let headers = batchHeaders(bytes)
            guard let last = headers.last, last.nextOffset > next else { break }
            next = last.nextOffset
        }
        return all
    }

    func records(from offset: Int64, upTo: Int64 = .max) throws -> [Record] {
        let bytes = try bytes(from: offset, upTo: upTo)
        var records: [Record] = []
        let reader = RecordBatchReader()
        try bytes.withUnsafeBytes { buffer in
            var position = 0
            for header in batchHeaders(bytes) {
                let batch = UnsafeRawBufferPointer(rebasing: buffer[position..<position + header.totalLength])
                if !header.isControl { records += try reader.records(of: batch) }
                position += header.totalLength
            }
        }
        return records.filter { $0.offset >= offset }
    }

    func values(from offset: Int64 = 0) throws -> [String] {
        try records(from: offset).map { String(decoding: $0.value ?? [], as: UTF8.self) }
    }
}

/// The headers of the batches that fill `bytes`.
func batchHeaders(_ bytes: [UInt8]) -> [RecordBatchHeader] {
    bytes.withUnsafeBytes { buffer in
        var headers: [RecordBatchHeader] = []
        var position = 0
        while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: buffer[position...])) {
            headers.append(header)
            position += header.totalLength
            guard position <= buffer.count else { return headers.dropLast() }
        }
        return headers
    }
}
