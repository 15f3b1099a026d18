import CAllocationCounter
import Glibc

/// MicroBenchmarks SCENARIO ITERATIONS
///
/// Runs one scenario and prints what its operations allocated. Run under callgrind with two numbers of iterations, the
/// difference of the instruction counts is what an operation takes; `scripts/benchmark-micro` does that.
let arguments = CommandLine.arguments
guard arguments.count == 3, let iterations = Int(arguments[2]),
    let scenario = Scenario.all.first(where: { $0.name == arguments[1] })
else {
    for scenario in Scenario.all { print(scenario.name) }
    exit(arguments.count == 1 ? 0 : 64)
}
let operation = try scenario.make()
// Buffers grow to their size.
for _ in 0..<200 { try operation() }
let before = martlet_allocation_count()
for _ in 0..<iterations { try operation() }
print("allocations \(Double(martlet_allocation_count() - before) / Double(max(1, iterations)))")
