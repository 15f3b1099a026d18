import Foundation
import Simulator
import Testing

/// Runs of the simulator that are the same each time; `martlet-sim` draws new ones.
@Suite(.serialized) struct SimulatorTests {
    @Test("nothing that clients and operators rely on breaks, whatever happens")
    func fixedSeeds() {
        var counts: [String: Int] = [:]
        // What is rare may need some more runs than the first.
        for seed in UInt64(1)...48 where seed <= 16 || Simulation.events.contains(where: { counts[$0] == nil }) {
            let options = SimulationOptions(seed: seed, seconds: 20)
            let result = Simulation.run(options)
            #expect(result.violations.isEmpty, "\(options.command)")
            #expect(result.counts["acknowledged", default: 0] > 20, "too little happened with seed \(seed)")
            #expect(result.counts["read", default: 0] > 20, "too little was read with seed \(seed)")
            #expect(result.counts["read by groups", default: 0] > 20, "groups read too little with seed \(seed)")
            counts.merge(result.counts, uniquingKeysWith: +)
        }
        for event in Simulation.events { #expect(counts[event, default: 0] > 0, "'\(event)' never happened") }
    }

    /// Dictionaries differ from run to run otherwise.
    private static let hashesAlike = ProcessInfo.processInfo.environment["SWIFT_DETERMINISTIC_HASHING"] != nil

    @Test(
        "a seed decides everything that happens", .enabled(if: hashesAlike, "SWIFT_DETERMINISTIC_HASHING=1 is not set"))
    func determinism() {
        let first = Simulation.run(SimulationOptions(seed: 4, seconds: 15))
        let second = Simulation.run(SimulationOptions(seed: 4, seconds: 15))
        let other = Simulation.run(SimulationOptions(seed: 5, seconds: 15))
        #expect(first.hash == second.hash)
        #expect(first.events == second.events)
        #expect(first.hash != other.hash)
    }

    @Test(
        "a failure is repeated by its seed", .enabled(if: hashesAlike, "SWIFT_DETERMINISTIC_HASHING=1 is not set"))
    func replay() {
        var options = SimulationOptions(seed: 1, seconds: 60)
        options.plant = .answersEarly
        let first = Simulation.run(options)
        let second = Simulation.run(options)
        #expect(!first.violations.isEmpty)
        #expect(first.violations == second.violations)
        #expect(first.hash == second.hash)
    }

    @Test("the command that is printed does the same again", arguments: [1, 20, 47.3, 100.0 / 7, 36_000] as [Double])
    func command(_ seconds: Double) throws {
        let options = SimulationOptions(seed: 7, seconds: seconds)
        let words = options.command.split(separator: " ")
        let minutes = try #require(words.firstIndex(of: "--minutes").flatMap { Double(words[$0 + 1]) })
        #expect(words.starts(with: ["martlet-sim", "--seed", "7"]))
        #expect(SimulationOptions(seed: 7, seconds: minutes * 60).duration == options.duration)
    }

    /// What a bug does that was put in shows within a few runs.
    @Test("planted bugs are found", arguments: PlantedBug.allCases)
    func plants(_ bug: PlantedBug) {
        let isFound = ([UInt64(5), 1, 2, 3, 4] + (6...16)).contains { seed in
            var options = SimulationOptions(seed: seed, seconds: 60)
            options.plant = bug
            return !Simulation.run(options).violations.isEmpty
        }
        #expect(isFound, "\(bug)")
    }
}
