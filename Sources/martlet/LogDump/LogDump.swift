import ArgumentParser
import Foundation

struct LogDump: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "Print segments, indexes, snapshots and checkpoints, and what is wrong with them.",
        discussion: """
            The files may be this server's or Kafka's. A file's name tells what is in it:

              martlet log dump data/orders-0/*.log
              martlet log dump data/orders-0/*.log --records --json
              martlet log dump data/orders-0/*.index data/orders-0/*.timeindex
              martlet log dump data/__consumer_offsets-*/*.log --offsets

            Nothing is changed. Ends with 1 when a file is damaged. A segment that is being written to may end in the \
            middle of a batch.
            """)

    @Argument(help: "Files: .log, .index, .timeindex, .txnindex, .snapshot, …-checkpoint.", completion: .file())
    var files: [String]

    @Flag(name: .shortAndLong, help: "Print the records of each batch.")
    var records = false

    @Flag(name: .shortAndLong, help: "Print the records of __consumer_offsets in words; includes --records.")
    var offsets = false

    @OptionGroup var output: OutputOptions

    func run() throws {
        var printer = DumpPrinter(isJSON: output.json)
        for path in files {
            printer.startFile(path)
            do {
                try dump(path, into: &printer)
            } catch let error as CommandFailure {
                printer.problem("\(error)", at: nil)
            }
        }
        try printer.finish()
        if printer.problemCount > 0 {
            Failure.report(
                "\(printer.problemCount) problem\(printer.problemCount == 1 ? "" : "s") found; lines with PROBLEM say where"
            )
            throw ExitCode.failure
        }
    }

    func dump(_ path: String, into printer: inout DumpPrinter) throws {
        let name = URL(fileURLWithPath: path).lastPathComponent
        let file = try DumpFile(path)
        if name.hasSuffix("checkpoint") {
            CheckpointDump.dump(try file.contents(), isEpochs: name == "leader-epoch-checkpoint", into: &printer)
            return
        }
        // Files on their way in or out are called NAME.log.deleted, .cleaned, .swap.
        let parts = name.split(separator: ".")
        guard parts.count >= 2, let baseOffset = Int64(parts[0]) else {
            throw CommandFailure("nobody knows what is in it: the name is neither OFFSET.SUFFIX nor …-checkpoint")
        }
        switch parts[1] {
        case "log":
            try SegmentDump(
                file: file, baseOffset: baseOffset, printsRecords: records || offsets, decodesOffsets: offsets
            )
            .dump(into: &printer)
        case "index": try IndexDump(file: file, baseOffset: baseOffset).dumpOffsets(into: &printer)
        case "timeindex": try IndexDump(file: file, baseOffset: baseOffset).dumpTimes(into: &printer)
        case "txnindex": TransactionIndexDump.dump(try file.contents(), into: &printer)
        case "snapshot": SnapshotDump.dump(try file.contents(), into: &printer)
        default: throw CommandFailure("files with the suffix .\(parts[1]) are not known")
        }
    }
}
