import Testing

@testable import MartletClient

/// Whatever happens on the way, a partition's log has each acknowledged record once and in order.
@Suite struct ProducerPropertyTests {
    private func configuration(_ seed: UInt64) -> ProducerConfiguration {
        var configuration = ProducerConfiguration(bootstrapServers: [BrokerAddress(host: "a", port: 1)])
        configuration.linger = seed % 3 == 0 ? .zero : .milliseconds(5)
        configuration.batchSize = [100, 300, 2000][Int(seed % 3)]
        configuration.compression = [.none, .lz4, .zstd, .gzip, .snappy][Int(seed % 5)]
        configuration.maximumInFlightRequests = Int(seed % 5) + 1
        return configuration
    }

    private func run(
        seed: UInt64, faults: ProducerHarness.Faults, deliveryTimeout: Duration = .seconds(100_000)
    ) throws -> ProducerHarness {
        var configuration = configuration(seed)
        configuration.deliveryTimeout = deliveryTimeout
        var harness = ProducerHarness(seed: seed, configuration: configuration, faults: faults)
        var count = 0
        for _ in 0..<2000 {
            switch Int.random(in: 0..<10, using: &harness.generator) {
            case 0..<4:
                let partition = Int.random(in: 0..<harness.partitionCount, using: &harness.generator)
                try harness.append("\(count)", to: partition, length: count % 40)
                count += 1
                if harness.core.needsStep { harness.step() }
            case 4..<9:
                _ = try harness.happen()
            default:
                harness.now += .milliseconds(Int.random(in: 0..<300, using: &harness.generator))
                harness.step()
            }
        }
        harness.faults = ProducerHarness.Faults()
        #expect(try harness.settle(limit: .seconds(1_000_000)), "seed \(seed)")
        #expect(harness.largestInFlight <= configuration.maximumInFlightRequests)
        #expect(harness.core.bufferedBytes == 0)
        check(harness, seed)
        return harness
    }

    private func check(_ harness: ProducerHarness, _ seed: UInt64) {
        for partition in 0..<harness.partitionCount {
            let log = harness.logs[partition].entries.map(\.value)
            let sent = harness.sent.filter { $0.partition == partition }
            #expect(Set(log).count == log.count, "seed \(seed): something is there twice")
            // The log has the records in the order of the calls, some of those that failed left out.
            var position = 0
            for record in sent {
                let isThere = position < log.count && log[position] == record.value
                switch record.delivery.result {
                case .success(let metadata)?:
                    #expect(isThere, "seed \(seed): \(record.value) is not where it should be")
                    if let offset = metadata.offset { #expect(offset == Int64(position), "seed \(seed)") }
                case .failure?: break
                case nil: Issue.record("seed \(seed): \(record.value) has no outcome")
                }
                if isThere { position += 1 }
            }
            #expect(position == log.count, "seed \(seed): the log has something else")
        }
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func nothingIsLostOrDoubled(seed: UInt64) throws {
        let harness = try run(
            seed: seed,
            faults: ProducerHarness.Faults(
                refusals: 60, losses: 40, leaderMoves: 30, connectFailures: 100, restarts: seed % 2 == 0 ? 0 : 40))
        #expect(harness.core.counts.failed == 0)
        #expect(harness.core.counts.acknowledged == harness.sent.count)
    }

    @Test(arguments: 100..<160 as Range<UInt64>) func aRefusedBatchLeavesTheOthersInOrder(seed: UInt64) throws {
        let harness = try run(
            seed: seed,
            faults: ProducerHarness.Faults(refusals: 30, losses: 30, leaderMoves: 20, tooLarge: 40))
        #expect(harness.core.counts.acknowledged + harness.core.counts.failed == harness.sent.count)
        #expect(harness.core.counts.acknowledged > harness.sent.count / 4)
    }

    @Test(arguments: 200..<260 as Range<UInt64>) func recordsThatAreGivenUpAreThereAtMostOnce(seed: UInt64) throws {
        let harness = try run(
            seed: seed,
            faults: ProducerHarness.Faults(refusals: 300, losses: 100, leaderMoves: 50, connectFailures: 300),
            deliveryTimeout: .seconds(31))
        #expect(harness.core.counts.acknowledged + harness.core.counts.failed == harness.sent.count)
    }
}
