import ArgumentParser

struct PerfCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perf",
        abstract: "Measure a cluster with this client: rates and percentiles of latency.",
        discussion: """
            Figures go to standard output, as a table or with --json; a progress line goes to a terminal.

              martlet topics create load --partitions 4
              martlet perf produce load --records 1000000 --size 100
              martlet perf produce load --records 60000 --throughput 1000 --acks all
              martlet perf consume load
              martlet perf end-to-end load

            Percentiles come from an HdrHistogram with three digits. With --throughput a record's time begins when it was \
            due, not when it was sent, so that a stall counts for all that had to wait for it.
            """,
        subcommands: [PerfProduce.self, PerfConsume.self, PerfEndToEnd.self])
}
