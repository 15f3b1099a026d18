import Foundation
import KafkaProtocol
import RecordFormat
import Testing

@testable import martlet

@Suite struct LogDumpTests {
    private func dump(_ name: String, _ bytes: [UInt8], isJSON: Bool = true, _ options: String...) throws -> [String] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-dump-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer {
            do {
                try FileManager.default.removeItem(at: folder)
            } catch {
                Issue.record(error)
            }
        }
        let path = folder.appending(path: name).path
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let output = OutputBuffer()
        var printer = DumpPrinter(isJSON: isJSON, output: output)
        printer.startFile(name)
        do {
            try LogDump.parse([path] + options).dump(path, into: &printer)
        } catch let failure as CommandFailure {
            printer.problem("\(failure)", at: nil)
        }
        return String(decoding: output.bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private func segment() throws -> (bytes: [UInt8], second: Int) {
        var first = RecordBatchBuilder(baseOffset: 5, partitionLeaderEpoch: 3)
        first.append(key: nil, value: Array("a".utf8), timestamp: 10)
        first.append(key: [0xFF], value: nil, timestamp: 11)
        var second = RecordBatchBuilder(codec: .gzip, baseOffset: 7)
        second.append(
            key: Array("k".utf8), value: [], headers: [RecordHeader(key: "h", value: nil)], timestamp: 12)
        let start = try first.build()
        return (try start + second.build(), start.count)
    }

    @Test func batchesAndRecords() throws {
        let (bytes, second) = try segment()
        let lines = try dump("00000000000000000005.log", bytes, "--records")
        #expect(lines.count == 5)
        #expect(lines[0].contains(#""baseOffset":5,"lastOffset":6,"count":2"#))
        #expect(lines[0].contains(#""isvalid":true"#))
        #expect(lines[1].contains(#""offset":5,"timestamp":10,"keySize":-1,"valueSize":1,"key":null,"payload":"a""#))
        #expect(lines[2].contains(#""keyBase64":"/w==","payload":null"#))
        #expect(lines[3].contains("\"position\":\(second),"))
        #expect(lines[3].contains(#""compresscodec":"gzip""#))
        #expect(lines[4].contains(#""headerKeys":["h"],"key":"k","payload":"""#))
    }

    @Test func damageIsFoundWhereItIs() throws {
        var (bytes, second) = try segment()
        bytes[70] ^= 0xFF
        let lines = try dump("00000000000000000005.log", bytes, isJSON: false)
        #expect(lines[1].contains("isvalid: false"))
        #expect(lines[2].hasPrefix("PROBLEM at position 0: the checksum is"))
        #expect(lines[3].hasPrefix("baseOffset: 7"))
        #expect(lines.count == 4)

        let cut = try dump("00000000000000000005.log", Array(segment().bytes.dropLast(3)), isJSON: false)
        #expect(cut.last?.hasPrefix("PROBLEM at position \(second): the batch claims") == true)
        let padded = try dump("00000000000000000005.log", segment().bytes + [UInt8](repeating: 0, count: 100))
        #expect(padded.last?.contains("zeros instead of a batch") == true)
        let misplaced = try dump("00000000000000000006.log", segment().bytes)
        #expect(misplaced.contains { $0.contains("base offset 5 where 6 or more is due") })
        #expect(try dump("x.conf", [], isJSON: false).last?.hasPrefix("PROBLEM: nobody knows") == true)
    }

    @Test func committedOffsetsInWords() throws {
        var key = OffsetCommitKey()
        key.group = "g"
        key.topic = "t"
        key.partition = 4
        var value = OffsetCommitValue()
        value.offset = 99
        var builder = RecordBatchBuilder()
        builder.append(
            key: [0, 1] + key.encoded(version: 1), value: [0, 3] + value.encoded(version: 3), timestamp: 1)
        builder.append(key: [0, 1] + key.encoded(version: 1), value: nil, timestamp: 1)
        builder.append(key: [0, 1, 0], value: nil, timestamp: 1)
        let lines = try dump("00000000000000000000.log", builder.build(), "--offsets")
        #expect(lines[1].contains(#""type":"offset","group":"g","topic":"t","partition":4,"committed":99"#))
        #expect(lines[2].contains(#""partition":4,"deleted":true"#))
        #expect(lines[3].contains(#""malformed":"truncated""#))
    }

    @Test func indexes() throws {
        // 3 at 40, then 9 at 20, which goes back; then the padding of a file made at full size.
        let offsets: [UInt8] = [0, 0, 0, 3, 0, 0, 0, 40, 0, 0, 0, 9, 0, 0, 0, 20] + [UInt8](repeating: 0, count: 16)
        let lines = try dump("00000000000000000100.index", offsets, isJSON: false)
        #expect(
            lines[1...] == [
                "offset: 103 position: 40", "offset: 109 position: 20",
                "PROBLEM at position 8: the entry does not come after the one before",
            ])
        let times: [UInt8] = [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 7]
        #expect(
            try dump("00000000000000000100.timeindex", times, isJSON: false)[1...] == [
                "PROBLEM: 13 bytes are not a whole number of entries of 12", "timestamp: 256 offset: 102",
            ])
    }

    @Test func snapshots() throws {
        var entry: [UInt8] = []
        entry.appendBigEndian(Int32(1))
        entry.appendBigEndian(Int64(77))
        entry.appendBigEndian(Int16(2))
        entry.appendBigEndian(Int32(30))
        entry.appendBigEndian(Int64(400))
        entry.appendBigEndian(Int32(5))
        entry.appendBigEndian(Int64(6000))
        entry.appendBigEndian(Int32(-1))
        entry.appendBigEndian(Int64(-1))
        var bytes: [UInt8] = [0, 1]
        bytes.appendBigEndian(entry.withUnsafeBytes { crc32c($0) })
        let expected =
            "producerId: 77 producerEpoch: 2 lastSequence: 30 lastOffset: 400 offsetDelta: 5 lastTimestamp: 6000 "
            + "coordinatorEpoch: -1 currentTxnFirstOffset: null"
        #expect(try dump("00000000000000000401.snapshot", bytes + entry, isJSON: false)[1...] == [expected])
        entry[5] ^= 1
        #expect(
            try dump("00000000000000000401.snapshot", bytes + entry, isJSON: false)[1]
                .hasPrefix("PROBLEM at position 2: the checksum"))
    }

    @Test func checkpoints() throws {
        #expect(
            try dump("recovery-point-offset-checkpoint", Array("0\n1\nt 2 30\n".utf8), isJSON: false)[1...]
                == ["topic: t partition: 2 offset: 30"])
        #expect(
            try dump("leader-epoch-checkpoint", Array("0\n2\n1 20\nx\n".utf8), isJSON: false)[1...] == [
                "epoch: 1 startOffset: 20", "PROBLEM: line 4 is not an entry: 'x'",
            ])
        #expect(
            try dump("leader-epoch-checkpoint", Array("0\n2\n1 20\n".utf8), isJSON: false).last
                == "PROBLEM: 2 entries are declared, 1 are there")
    }

    @Test func abortedTransactions() throws {
        var bytes: [UInt8] = [0, 0]
        for number: Int64 in [7, 10, 20, 30] { bytes.appendBigEndian(number) }
        #expect(
            try dump("00000000000000000000.txnindex", bytes + [1], isJSON: false)[1...] == [
                "version: 0 producerId: 7 firstOffset: 10 lastOffset: 20 lastStableOffset: 30",
                "PROBLEM at position 34: 1 bytes are left, less than an entry",
            ])
    }
}
