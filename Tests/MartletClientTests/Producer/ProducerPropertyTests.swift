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

    /// A transaction's records are all in the logs when it could be committed, whatever happened on the way; of one that
    /// could not, nothing comes after its end.
    @Test(arguments: 0..<60 as Range<UInt64>) func aTransactionIsWholeOrFails(seed: UInt64) throws {
        var configuration = configuration(seed)
        configuration.transactionalId = "id"
        configuration.deliveryTimeout = .seconds(40)
        var harness = ProducerHarness(
            seed: seed, configuration: configuration,
            faults: ProducerHarness.Faults(
                refusals: 40, losses: 20, leaderMoves: 10, tooLarge: 5, connectFailures: 100, restarts: 5))
        let version: TransactionState.Version = seed % 2 == 0 ? .brokerAdds : .clientAdds
        var epoch: Int16 = 0
        var committed: [ProducerIdentity: [Int: [String]]] = [:]
        var failures = 0
        for round in 0..<40 {
            let identity = ProducerIdentity(id: 1, epoch: epoch)
            harness.core.identity = .known(identity)
            harness.core.transaction!.didGetNewEpoch()
            harness.core.transaction!.begin(version)
            var values: [Int: [String]] = [:]
            do {
                for index in 0..<Int.random(in: 1..<40, using: &harness.generator) {
                    let partition = Int.random(in: 0..<harness.partitionCount, using: &harness.generator)
                    try harness.append("\(round)-\(index)", to: partition)
                    values[partition, default: []].append("\(round)-\(index)")
                    if harness.core.needsStep { harness.step() }
                    if index % 3 == 0 { _ = try harness.happen() }
                }
            } catch let error as ClientError where error.code == .transactionAborted {
                // A batch had failed before.
            }
            let mustAbort = harness.chance(200)
            if !mustAbort {
                harness.core.transaction!.commit()
                #expect(try harness.settle(limit: .seconds(1000)), "seed \(seed)")
            }
            if !mustAbort, harness.core.transaction!.failure == nil {
                committed[identity] = values
                // With version 1 the epoch, and so the numbers, go on.
                if version == .brokerAdds { epoch += 1 }
            } else {
                harness.core.abortTransaction()
                #expect(try harness.settle(limit: .seconds(1000)), "seed \(seed)")
                epoch += 1
                failures += 1
            }
            harness.core.transaction!.finish()
            #expect(harness.core.bufferedBytes == 0)
            if version == .clientAdds, committed[identity] != nil {
                // The next transaction would have the same identity: what was read of it until now is checked here.
                check(harness, identity, values, seed)
                committed[identity] = nil
                harness.forgetLogs()
            }
        }
        for (identity, values) in committed { check(harness, identity, values, seed) }
        #expect(failures > 0 && failures < 38, "seed \(seed): \(failures)")
    }

    private func check(
        _ harness: ProducerHarness, _ identity: ProducerIdentity, _ values: [Int: [String]], _ seed: UInt64
    ) {
        for partition in 0..<harness.partitionCount {
            let entries = harness.logs[partition].entries.filter { $0.producer == identity }
            let expected = values[partition] ?? []
            #expect(entries.map(\.value) == expected, "seed \(seed)")
            let areTransactional = entries.allSatisfy(\.isTransactional)
            #expect(areTransactional)
        }
    }
}
