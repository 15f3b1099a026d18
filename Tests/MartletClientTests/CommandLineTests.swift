import ArgumentParser
import MartletClient
import RecordFormat
import Testing

@testable import martlet

@Suite struct CommandLineTests {
    @Test func everyCommandHasHelpWithAnExample() {
        var commands: [any ParsableCommand.Type] = [Martlet.self]
        var index = 0
        while index < commands.count {
            commands += commands[index].configuration.subcommands
            index += 1
        }
        #expect(commands.count > 15)
        for command in commands {
            #expect(!command.configuration.abstract.isEmpty)
            #expect(command.configuration.discussion.contains("  martlet "), "\(command)")
        }
    }

    @Test func optionsOfTopics() throws {
        let command = try #require(
            try Martlet.parseAsRoot([
                "topics", "create", "t", "-p", "3", "--config", "a=b=c", "--config", "d=", "-b", "h:1,i:2",
            ]) as? TopicsCreate)
        #expect(command.partitions == 3)
        #expect(command.config.map(\.name) == ["a", "d"])
        #expect(command.config.map(\.value) == ["b=c", ""])
        #expect(command.connection.bootstrapServer.addresses.map(\.description) == ["h:1", "i:2"])
    }

    @Test(arguments: [
        ["topics", "create", "t", "-p", "0"], ["topics", "create", "t", "--config", "novalue"],
        ["topics", "alter", "t"], ["topics", "list", "-b", "h:0"], ["topics", "list", "--timeout", "0"],
        ["configs", "alter", "topics", "t"], ["configs", "describe", "brokers", "x"],
        ["groups", "reset-offsets", "g", "--topic", "t"],
        ["groups", "reset-offsets", "g", "--topic", "t", "--to-latest", "--to-earliest"],
        ["groups", "reset-offsets", "g", "--to-latest"],
        ["groups", "reset-offsets", "g", "--topic", "t", "--all-topics", "--to-latest"],
        ["consume", "t", "--from-beginning", "--offset", "1"], ["consume", "t", "--group", "g", "--partition", "1"],
        ["consume", "t", "-n", "0"], ["produce", "t", "--json", "--headers"], ["produce", "t", "--acks", "2"],
        ["produce", "t", "--compression", "rar"], ["produce", "t", "--key-separator", ""],
    ])
    func wrongUseIsCode64(arguments: [String]) {
        do {
            _ = try Martlet.parseAsRoot(arguments)
            Issue.record("was accepted: \(arguments)")
        } catch {
            #expect(Martlet.exitCode(for: error) == .validationFailure)
        }
    }

    @Test func wrongUseIsOneLineThatPointsToHelp() {
        #expect(
            Failure.usageLine(
                message: "Missing expected argument '<name>'.\n",
                full: "Error: …\n  See 'martlet topics --help' for more.")
                == "Missing expected argument '<name>'; see 'martlet topics --help'")
        #expect(Failure.usageLine(message: "a\n  b", full: "") == "a b; see 'martlet --help'")
    }

    @Test func whereAGroupIsMovedTo() throws {
        func reset(_ arguments: String...) throws -> OffsetReset {
            try GroupsResetOffsets.parse(["g", "--topic", "t"] + arguments).reset(now: 10_000_000)
        }
        #expect(try reset("--to-earliest") == .earliest)
        #expect(try reset("--shift-by=-7") == .shift(-7))
        #expect(try reset("--to-offset", "5") == .offset(5))
        #expect(try reset("--to-datetime", "1970-01-01T00:00:02Z") == .timestamp(2000))
        #expect(try reset("--by-duration", "PT1H") == .timestamp(6_400_000))
        #expect(try reset("--by-duration", "P1D") == .timestamp(0))
    }

    @Test func topicsWithPartitions() {
        #expect(TopicSelection(argument: "a")?.partitions == nil)
        #expect(TopicSelection(argument: "a:0,2")?.partitions == [0, 2])
        for text in ["", ":1", "a:", "a:x", "a:1,", "a:-1"] {
            #expect(TopicSelection(argument: text) == nil, "\(text)")
        }
    }

    @Test(
        arguments: [
            ("0", 0), ("1700000000000", 1_700_000_000_000), ("1970-01-01", 0), ("2000-02-29T00:00Z", 951_782_400_000),
            ("2026-05-01T12:30:15.25Z", 1_777_638_615_250), ("2026-05-01T14:30:15.250+02:00", 1_777_638_615_250),
            ("2026-05-01 09:00:15.2509-0330", 1_777_638_615_250), ("1969-12-31T23:59:59.999", -1),
        ] as [(String, Int64)])
    func times(text: String, milliseconds: Int64) {
        #expect(PointInTime(argument: text)?.milliseconds == milliseconds)
    }

    @Test(arguments: [
        "", "x", "-1", "2026-13-01", "2026-02-29", "2026-01-01T", "2026-01-01T24:00", "2026-1-1", "2026-01-01Z1",
    ])
    func timesThatAreNone(text: String) {
        #expect(PointInTime(argument: text) == nil)
    }

    @Test(arguments: [0, 951_782_400_000, 1_777_638_615_250, -1, 4_102_444_800_000] as [Int64])
    func timesAreReadAsTheyArePrinted(milliseconds: Int64) {
        #expect(PointInTime(argument: PointInTime(milliseconds: milliseconds).text)?.milliseconds == milliseconds)
    }

    @Test func spansOfTime() {
        #expect(TimeSpan(argument: "PT1H")?.milliseconds == 3_600_000)
        #expect(TimeSpan(argument: "P1DT2H3M4S")?.milliseconds == 93_784_000)
        #expect(TimeSpan(argument: "P2W")?.milliseconds == 1_209_600_000)
        for text in ["", "P", "PT", "1H", "PT1", "P1H", "PT1D", "P1M", "PT9223372036854775807H", "P1DT"] {
            #expect(TimeSpan(argument: text) == nil, "\(text)")
        }
    }

    @Test func separators() {
        #expect(Separator(argument: "\\t")?.bytes == [9])
        #expect(Separator(argument: ":\\\\=")?.bytes == Array(":\\=".utf8))
        for text in ["", "\\", "\\x"] { #expect(Separator(argument: text) == nil, "\(text)") }
    }

    @Test func coloursAreForTerminalsOnly() {
        #expect(Terminal.usesColour(isTerminal: true, environment: [:]))
        #expect(!Terminal.usesColour(isTerminal: false, environment: [:]))
        #expect(!Terminal.usesColour(isTerminal: true, environment: ["NO_COLOR": "1"]))
        #expect(Terminal.usesColour(isTerminal: true, environment: ["NO_COLOR": ""]))
        #expect(!Terminal.usesColour(isTerminal: true, environment: ["TERM": "dumb"]))
    }
}
