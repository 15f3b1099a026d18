import ArgumentParser
import Foundation
import Simulator

@main
struct MartletSim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-sim",
        abstract: "Runs whole clusters in one thread, disturbed from one seed, and judges what clients saw.")

    @Option(help: "The first seed; one that the system draws by default.") var seed: UInt64?
    @Option(help: "Simulated hours of disturbance in each run.") var hours = 0.0
    @Option(help: "Simulated minutes of disturbance in each run.") var minutes = 0.0
    @Option(help: "Nodes of the cluster; some three to five by default.") var brokers: Int32?
    @Option(help: "How many seeds are run, one after the other.") var runs = 1
    @Option(name: .customLong("wall-seconds"), help: "Begin no run after so many seconds.") var wallSeconds: Double?
    @Option(help: "Puts a bug in: \(PlantedBug.allCases.map(\.rawValue).joined(separator: ", ")).") var plant: String?
    @Flag(help: "Prints what happens.") var trace = false
    @Option(help: "Lines of the trace that a failing run prints.") var lines = 60

    func validate() throws {
        guard brokers ?? 3 >= 3 else { throw ValidationError("--brokers: at least 3") }
        guard plant == nil || PlantedBug(rawValue: plant!) != nil else {
            throw ValidationError("--plant: one of \(PlantedBug.allCases.map(\.rawValue))")
        }
    }

    func run() throws {
        try Self.fixHashing()
        let first = seed ?? UInt64.random(in: 0..<1 << 48)
        let minutes = self.minutes + hours * 60
        let length = minutes > 0 ? minutes : 2
        print("first seed \(first), \(length) simulated minutes a run")
        let start = Date()
        var done = 0
        var virtualSeconds = 0.0
        for index in 0..<UInt64(max(1, runs)) {
            if let wallSeconds, Date().timeIntervalSince(start) > wallSeconds { break }
            var options = SimulationOptions(seed: first &+ index, seconds: length * 60)
            options.brokers = brokers
            options.plant = plant.flatMap { PlantedBug(rawValue: $0) }
            options.isTraced = trace
            // Everything so far, should this run not end.
            fflush(nil)
            let result = Simulation.run(options)
            done += 1
            virtualSeconds += result.virtualSeconds
            guard result.violations.isEmpty else {
                report(result, options.command, done)
                throw ExitCode(1)
            }
            if runs == 1 || trace {
                for (name, count) in result.counts.sorted(by: { $0.key < $1.key }) { print("  \(name): \(count)") }
                print("seed \(result.seed): \(result.events) events, hash \(String(result.hash, radix: 16))")
            }
        }
        let wall = Date().timeIntervalSince(start)
        print(
            "\(done) runs, \(Int(virtualSeconds)) simulated seconds in \(Int(wall)) seconds, "
                + "\(Int(virtualSeconds / max(wall, 0.001))) a second: nothing wrong")
    }

    private func report(_ result: SimulationResult, _ command: String, _ runs: Int) {
        for line in result.lastLines.suffix(lines) { print(line) }
        print("\nseed \(result.seed) fails, in run \(runs), after \(result.virtualSeconds) simulated seconds:")
        for violation in result.violations { print("  \(violation)") }
        print("replay: \(command)\nhash \(String(result.hash, radix: 16))")
    }

    /// Dictionaries are ordered by a seed of the process, unless it is begun so.
    private static func fixHashing() throws {
        let variable = "SWIFT_DETERMINISTIC_HASHING"
        guard getenv(variable) == nil else { return }
        setenv(variable, "1", 1)
        var arguments = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", arguments)
        throw ValidationError("cannot begin anew with \(variable): \(String(cString: strerror(errno)))")
    }
}
