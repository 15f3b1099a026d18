import NIOCore
import RecordFormat
import Testing

@testable import MartletClient
@testable import martlet

@Suite struct OutputTests {
    @Test func tablesAreAligned() {
        let table = TextTable(
            [.text("TOPIC"), .number("N"), .text("LAST")], [["a", "1", "x"], ["longer-name", "200", ""]])
        #expect(
            table.render(styled: false) == """
                TOPIC          N  LAST
                a              1  x
                longer-name  200

                """)
        #expect(table.render(styled: true).hasPrefix("\u{1B}[1mTOPIC          N  LAST\u{1B}[0m\n"))
    }

    @Test func progressTellsHowFarItIs() {
        #expect(
            ProgressLine.text(250, of: 1000, elapsed: .seconds(2))
                == "[=======                       ] 25 %, 250 records, 125 a second")
        #expect(
            ProgressLine.text(1200, of: 1000, elapsed: .seconds(1)).hasPrefix("[==============================] 100 %"))
        #expect(ProgressLine.text(7, of: nil, elapsed: .zero) == "7 records, 7000 a second")
    }

    @Test func jsonKeepsTheOrderAndEscapes() {
        let value = JSONValue.object([
            .init("z", .number(Int16(-1))), .init("a", .string("\"\\\n\u{1}é")), .init("n", .null),
            .init("l", .array([.bool(true), .optional(nil as String?)])),
        ])
        #expect(value.text == #"{"z":-1,"a":"\"\\\n\u0001é","n":null,"l":[true,null]}"#)
        #expect(JSONValue.array([.number(1), .number(2)]).documentText == "[\n1,\n2\n]")
        #expect(JSONValue.array([]).documentText == "[]")
    }

    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
    func base64(text: String, expected: String) {
        var bytes: [UInt8] = []
        Array(text.utf8).withUnsafeBytes { JSONText.appendBase64($0, to: &bytes) }
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
    }

    private func printed(_ record: ProducerRecord, _ printer: RecordPrinter) throws -> String {
        var builder = RecordBatchBuilder(baseOffset: 7)
        builder.append(
            key: record.key, value: record.value,
            headers: record.headers.map { RecordHeader(key: $0.key, value: $0.value) },
            timestamp: record.timestamp ?? -1)
        let chunk = try FetchedChunk(
            TopicPartition("t", 2), bytes: ByteBuffer(bytes: try builder.build()),
            of: FetchedFrame(id: 1, byteCount: 1),
            startOffset: 7, highWatermark: 8, abortedTransactions: nil)
        let prepared = try BatchPreparation(checksCRCs: true, decompressedLimit: 1 << 20)
            .prepare(try #require(chunk), of: TopicPartition("t", 2))
        var output: [UInt8] = []
        prepared.batch?.forEachRecord { printer.append($0, to: &output) }
        return String(decoding: output, as: UTF8.self)
    }

    @Test func recordsAsText() throws {
        let record = ProducerRecord(
            topic: "t", key: Array("k".utf8), value: Array("v".utf8),
            headers: [Header(key: "a", value: [0x62]), Header(key: "c", value: nil)], timestamp: 5)
        var printer = RecordPrinter()
        #expect(try printed(record, printer) == "v\n")
        printer.printsKey = true
        printer.printsOffset = true
        printer.printsTimestamp = true
        printer.printsHeaders = true
        printer.separator = Array("|".utf8)
        #expect(try printed(record, printer) == "5|2:7|a=b,c=null|k|v\n")
    }

    /// What one prints the other reads, whatever the bytes.
    @Test(arguments: [
        ProducerRecord(topic: "t", key: [0xFF, 0], value: nil, timestamp: 5),
        ProducerRecord(topic: "t", key: nil, value: Array("ü\n\"\u{0}".utf8), timestamp: 0),
        ProducerRecord(
            topic: "t", key: [], value: [0xC3],
            headers: [Header(key: "a", value: [0xFE]), Header(key: "a", value: nil)], timestamp: 9),
    ])
    func jsonComesBackAsTheSameRecord(record: ProducerRecord) throws {
        var printer = RecordPrinter()
        printer.isJSON = true
        let line = try printed(record, printer)
        var expected = record
        expected.partition = 2
        let read = try JSONInput.record(
            Array(line.utf8).dropLast(), topic: "t", partition: nil, headers: [], now: 1)
        #expect(read == expected)
    }

    @Test func linesOfJSON() throws {
        func record(_ text: String) throws -> ProducerRecord {
            try JSONInput.record(
                Array(text.utf8)[...], topic: "t", partition: nil, headers: [Header(key: "all", value: [])],
                now: 42)
        }
        let whole = try record(#"{"value":{"b":1,"a":[true]},"headers":{"x":"1"},"partition":3}"#)
        #expect(whole.value == Array(#"{"a":[true],"b":1}"#.utf8))
        #expect(whole.headers.map(\.key) == ["all", "x"])
        #expect(whole.partition == 3)
        #expect(whole.timestamp == 42)
        #expect(try record(#"{"key":"k","value":null}"#).value == nil)
        for text in [
            "", "1", "[]", "{", #"{"key":"k"}"#, #"{"value":"v","vaule":1}"#, #"{"value":"v","partition":1.5}"#,
            #"{"valueBase64":"%"}"#, #"{"value":"v","headers":3}"#,
        ] {
            #expect(throws: CommandFailure.self, "\(text)") { try record(text) }
        }
    }

    @Test func linesAreCutWhereverThePiecesEnd() {
        let text = Array("one\n\ntwo\r\nthree".utf8)
        for size in 1...text.count {
            var splitter = LineSplitter()
            var lines: [String] = []
            for start in stride(from: 0, to: text.count, by: size) {
                splitter.feed(Array(text[start..<min(start + size, text.count)])) {
                    lines.append(String(decoding: $0, as: UTF8.self))
                }
            }
            if let last = splitter.finish() { lines.append(String(decoding: last, as: UTF8.self)) }
            #expect(lines == ["one", "", "two\r", "three"])
        }
    }

    @Test func linesOfText() throws {
        func record(_ line: String, separator: String?, headers: Bool) throws -> ProducerRecord {
            let reader = InputLineReader(
                topic: "t", format: .text(keySeparator: separator.map { Array($0.utf8) }, hasHeaders: headers),
                partition: nil, headers: [])
            return try reader.record(Array(("xx" + line).utf8).dropFirst(2), number: 1, now: 0)
        }
        let full = try record("a=b,c=\tkey::va::lue", separator: "::", headers: true)
        #expect(full.headers.map(\.key) == ["a", "c"])
        #expect(full.key == Array("key".utf8))
        #expect(full.value == Array("va::lue".utf8))
        let plain = try record("a:b", separator: nil, headers: false)
        #expect(plain.key == nil)
        #expect(plain.value == Array("a:b".utf8))
        #expect(try record(":b", separator: ":", headers: false).key == [])
        #expect(throws: CommandFailure.self) { try record("a:b", separator: "::", headers: false) }
        #expect(throws: CommandFailure.self) { try record("a=b", separator: nil, headers: true) }
        #expect(throws: CommandFailure.self) { try record("a\tb", separator: nil, headers: true) }
    }
}
