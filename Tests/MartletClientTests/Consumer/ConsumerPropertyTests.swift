import Testing

@testable import MartletClient

/// Whatever happens on the way, each record is handed out once and in order.
@Suite struct ConsumerPropertyTests {
    private func run(seed: UInt64, faults: ConsumerHarness.Faults) throws -> ConsumerHarness {
        var configuration = ConsumerConfiguration(bootstrapServers: [BrokerAddress(host: "a", port: 1)])
        configuration.offsetReset = .earliest
        configuration.maximumPartitionFetchBytes = [100, 1000, 10_000][Int(seed % 3)]
        configuration.prefetchMemory = [1500, 20_000][Int(seed % 2)]
        var harness = ConsumerHarness(
            seed: seed, configuration: configuration, partitionCount: Int(seed % 4) + 1, faults: faults)
        harness.fetchesById = seed % 5 != 0
        harness.step()
        for round in 0..<3000 {
            let partition = Int.random(in: 0..<harness.partitions.count, using: &harness.generator)
            let slot = harness.core.index[ConsumerHarness.name(partition)]!
            switch Int.random(in: 0..<20, using: &harness.generator) {
            case 0..<3:
                let count = Int.random(in: 1..<6, using: &harness.generator)
                try harness.partitions[partition].append(count, compressed: false, tag: "\(round)")
            case 3..<7: _ = try harness.consume()
            case 7: harness.core.setPaused(harness.chance(500), slot)
            case 8 where harness.chance(300):
                // Back to where the application was before, or to what it has not seen.
                // Without an epoch nothing tells that what is before it was truncated.
                let end = faults.truncations > 0 ? 0 : Int64(harness.consumed[partition].count)
                let offset = Int64.random(in: 0...end, using: &harness.generator)
                harness.consumed[partition].removeSubrange(Int(offset)...)
                harness.core.seek(slot, .offset(ConsumedOffset(offset)))
            case 9:
                harness.now += .milliseconds(Int.random(in: 0..<300, using: &harness.generator))
                harness.step()
            default: _ = harness.happen()
            }
            if faults.truncations > 0, round == 1500 {
                harness.partitions[0].elect(1 - harness.partitions[0].leader, withoutLast: 2)
            }
            if harness.core.needsStep { harness.step() }
        }
        // Something that follows shows what was truncated before.
        for index in harness.partitions.indices {
            try harness.partitions[index].append(1, compressed: false, tag: "end")
        }
        for slot in harness.core.slots.indices { harness.core.setPaused(false, slot) }
        #expect(try harness.settle(), "seed \(seed)")
        #expect(harness.core.failure == nil)
        // Nothing more than a fetch of each broker comes on top.
        #expect(harness.largestHeld <= max(configuration.prefetchMemory, 2 * 1500), "seed \(seed)")
        return harness
    }

    @Test(arguments: 0..<24 as Range<UInt64>) func nothingIsLostOrDoubled(seed: UInt64) throws {
        let harness = try run(
            seed: seed,
            faults: ConsumerHarness.Faults(
                refusals: 40, losses: 30, leaderMoves: 10, connectFailures: 100, lostSessions: 20, staleMetadata: 100))
        #expect(harness.returns == 0)
        #expect(harness.partitions.contains { $0.end > 100 })
    }

    @Test(arguments: 100..<124 as Range<UInt64>) func whatATruncatedLogLostIsReadAnew(seed: UInt64) throws {
        let harness = try run(
            seed: seed,
            faults: ConsumerHarness.Faults(refusals: 20, losses: 20, leaderMoves: 5, truncations: 5, lostSessions: 10))
        #expect(harness.partitions.contains { $0.truncations > 0 })
        #expect(harness.returns <= harness.partitions.reduce(0) { $0 + $1.truncations })
    }
}
