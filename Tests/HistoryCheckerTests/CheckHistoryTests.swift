import ArgumentParser
import Foundation
import HistoryChecker
import Testing

@testable import check_history

@Suite struct CheckHistoryTests {
    private func judge(_ text: String, _ arguments: String...) throws -> [Anomaly] {
        try CheckHistory.parse(arguments).judge(Data(text.utf8))
    }

    @Test("the examples of the documents are histories, and read as what they say")
    func examples() throws {
        let readme = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../HistoryChecker/README.md")
        let text = try String(contentsOf: readme, encoding: .utf8)
        let lines = text.split(separator: "\n").filter { $0.hasPrefix("{") }.joined(separator: "\n")
        let decoded = try HistoryLine.decode(Data(lines.utf8))
        let expected: [Event] = [
            Event(process: "p1", time: span(10, 14), .send(Send(17, to: t0, .acknowledged(offset: 4)))),
            Event(process: "p1", .send(Send("a-18", to: t0, transaction: 3, isIdempotent: false, .unknown))),
            Event(process: "p1", time: span(20, 25), .transactionEnd(TransactionEnd(3, .committed))),
            Event(process: "c1", .position(.assigned([t0]))),
            Event(process: "c1", .position(.set(t0, offset: 4))),
            Event(process: "c1", .poll(Poll(.readCommitted, [Record(t0, offset: 4, value: 17)]))),
            Event(process: "c1", .position(.revoked([t0]))),
            Event(process: "c1", .offsetCommit(OffsetCommit("g", t0, offset: 5, transaction: 3, .acknowledged))),
            Event(process: "c1", .offsetFetch(OffsetFetch("g", t0, offset: 5, isFinal: true))),
            Event(
                process: "r",
                .finalRead(
                    FinalRead(t0, [.init(offset: 4, value: 17), .init(offset: 5, value: "a-18")], endOffset: 7))),
            Event(
                process: "r",
                .finalRead(
                    FinalRead(TopicPartition("out", 0), [.init(offset: 0, value: "x"), .init(offset: 1, value: "y")]))),
        ]
        #expect(decoded.map(\.event) == expected)
        #expect(decoded.last?.sources == [.offset(t0, 4), .value(t0, "a-18")])
        #expect(try judge(lines) == [])
        #expect(try judge(lines, "--transform", "t:out") == [])
    }

    @Test("the help names each event, fits a terminal, and its example is a history")
    func help() throws {
        let lines = formatHelp.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.allSatisfy { $0.count <= 80 })
        for type in [
            "send", "transaction-end", "poll", "assigned", "revoked", "position", "offset-commit", "offset-fetch",
            "final-read",
        ] {
            #expect(formatHelp.contains("\n  \(type) "), "\(type)")
        }
        let start = try #require(lines.firstIndex { $0.hasPrefix("  {") })
        let example = Data((lines[start] + lines[start + 1]).utf8)
        #expect(try HistoryLine.decode(example).map(\.event.process) == ["p1"])
    }

    @Test("every kind of anomaly is explained in the documents")
    func kinds() throws {
        let readme = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../HistoryChecker/README.md")
        let text = try String(contentsOf: readme, encoding: .utf8)
        for kind in Anomaly.Kind.allCases { #expect(text.contains("`\(kind.rawValue)`"), "\(kind)") }
    }

    @Test func anomaliesAsText() throws {
        let lost = """
            {"type":"send","process":"p","topic":"t","partition":0,"value":"x","outcome":"acknowledged","offset":0}

            {"type":"final-read","process":"r","topic":"t","partition":0,"records":[],"endOffset":1}
            """
        let anomalies = try judge(lost)
        #expect(
            anomalies.map(\.description) == [
                "lost-write t-0: \"x\" was acknowledged at offset 0 and is not in the final read, "
                    + "which ends before it"
            ])
        #expect(
            String(decoding: try AnomalyLine(anomalies[0]).encoded(), as: UTF8.self) == """
                {"explanation":"\\"x\\" was acknowledged at offset 0 and is not in the final read, \
                which ends before it",\
                "kind":"lost-write","offsets":[0],"partition":0,"process":"p","topic":"t","values":["x"]}
                """)
    }

    @Test("ends with 0 without anomalies, 1 with some, 2 for what it cannot read")
    func exitCodes() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("history-\(UUID().uuidString).jsonl")
        defer { try? FileManager.default.removeItem(at: file) }
        func exitCode() -> Int32 {
            do {
                try CheckHistory.parse([file.path]).run()
                return 0
            } catch {
                return CheckHistory.exitCode(for: error).rawValue
            }
        }
        #expect(exitCode() == 2, "no such file")
        let fetch = #"{"type":"offset-fetch","process":"c","group":"g","topic":"t","partition":0,"offset":4}"#
        try Data(fetch.utf8).write(to: file)
        #expect(exitCode() == 0)
        let end = #"{"type":"final-read","process":"r","topic":"t","partition":0,"records":[],"endOffset":3}"#
        try Data("\(fetch)\n\(end)\n".utf8).write(to: file)
        #expect(exitCode() == 1)
        try Data("\(fetch)\n\(end.dropLast())".utf8).write(to: file)
        #expect(exitCode() == 2, "cut off")
        try Data(fetch.replacingOccurrences(of: "4", with: "-4").utf8).write(to: file)
        #expect(exitCode() == 2, "no history")
    }

    @Test func transform() throws {
        let history = """
            {"type":"final-read","process":"r","topic":"i","partition":0,\
            "records":[{"offset":0,"value":1},{"offset":1,"value":2}]}
            {"type":"final-read","process":"r","topic":"o","partition":0,\
            "records":[{"offset":0,"value":1,"source":{"topic":"i","partition":0,"offset":1}}]}
            """
        #expect(try judge(history) == [])
        #expect(try judge(history, "--transform", "i:o").map(\.kind) == [.notProcessed])
        #expect(throws: LineError.self) { try judge(history, "--transform", "o:i") }
        for wrong in ["i", "i:", ":o", "i:o:p"] {
            #expect(throws: (any Error).self) { try CheckHistory.parse(["--transform", wrong]) }
        }
    }

    @Test(
        "input that is no history is refused with its line and reason",
        arguments: [
            ("nonsense", "not JSON"),
            ("{\"type\":\"send\"", "not JSON"),
            ("[]", "wrong type"),
            (#"{"process":"p"}"#, "field \"type\" is missing"),
            (#"{"type":"sent","process":"p"}"#, "unknown type \"sent\""),
            (#"{"type":"transaction-end","transaction":1,"outcome":"aborted"}"#, "field \"process\" is missing"),
            (
                #"{"type":"transaction-end","process":"p","transaction":1,"outcome":"ok"}"#,
                "\"outcome\" is \"ok\", not one of"
            ),
            (#"{"type":"transaction-end","process":"p","transaction":1.5,"outcome":"aborted"}"#, "no 64-bit integer"),
            (#"{"type":"revoked","process":"p","partitions":[],"times":[1,2]}"#, "unknown field \"times\""),
            (#"{"type":"revoked","process":"p","partitions":[],"time":[1]}"#, "\"time\" is not [invoked, completed]"),
            (
                #"{"type":"revoked","process":"p","partitions":[{"topic":"t"}]}"#,
                "field \"partition\" is missing in \"partitions"
            ),
            (
                #"{"type":"poll","process":"p","isolation":"read_committed","records":[{"topic":"t","partition":0,"#
                    + #""offset":0,"value":[]}]}"#,
                "wrong type"
            ),
            (
                #"{"type":"poll","process":"p","isolation":"read_committed","records":[{"topic":"t","partition":0,"#
                    + #""ofset":0,"value":1}]}"#,
                "unknown field \"ofset\""
            ),
            (
                #"{"type":"send","process":"p","topic":"t","partition":0,"value":1,"outcome":"unknown","offset":4}"#,
                "an offset without an acknowledgement"
            ),
            (
                #"{"type":"final-read","process":"p","topic":"t","partition":0,"#
                    + #""records":[{"offset":0,"value":1,"source":{"topic":"t","partition":0}}]}"#,
                "a source has either"
            ),
        ])
    func refused(line: String, reason: String) throws {
        let error = #expect(throws: LineError.self) { try judge("\n" + line) }
        #expect(error?.line == 2)
        #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
    }
}
