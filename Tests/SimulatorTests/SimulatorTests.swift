import Foundation
import Simulator
import Testing

/// Runs of the simulator that are the same each time; `martlet-sim` draws new ones.
@Suite(.serialized) struct SimulatorTests {
    @Test("nothing that clients and operators rely on breaks", arguments: UInt64(1)...15)
    func fixedSeeds(_ seed: UInt64) {
        let result = Simulation.run(SimulationOptions(seed: seed, seconds: 20))
        #expect(result.violations.isEmpty, "martlet-sim --seed \(seed) --minutes \(20.0 / 60)")
        #expect(result.counts["acknowledged", default: 0] > 20, "too little happened")
        #expect(result.counts["read", default: 0] > 20, "too little was read")
    }

    @Test("what fresh seeds once found stays mended", arguments: [UInt64(195_696_600_607_131), 107_375_738_225_711])
    func seedsThatFound(_ seed: UInt64) {
        let result = Simulation.run(SimulationOptions(seed: seed, seconds: 120))
        #expect(result.violations.isEmpty, "martlet-sim --seed \(seed) --minutes 2")
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

    /// What a bug does that was put in shows within a few runs.
    @Test("planted bugs are found", arguments: PlantedBug.allCases)
    func plants(_ bug: PlantedBug) {
        let isFound = (UInt64(1)...4).contains { seed in
            var options = SimulationOptions(seed: seed, seconds: 60)
            options.plant = bug
            return !Simulation.run(options).violations.isEmpty
        }
        #expect(isFound, "\(bug)")
    }
}
