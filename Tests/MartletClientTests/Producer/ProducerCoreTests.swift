import KafkaProtocol
import Testing

@testable import MartletClient

@Suite struct ProducerCoreTests {
    private func configuration() -> ProducerConfiguration {
        var configuration = ProducerConfiguration(bootstrapServers: [BrokerAddress(host: "a", port: 1)])
        configuration.retryBackoff = .milliseconds(100)
        configuration.maximumRetryBackoff = .milliseconds(100)
        return configuration
    }

    /// A producer that is connected and has sent one record to each partition.
    private func warm(_ configuration: ProducerConfiguration) throws -> ProducerHarness {
        var harness = ProducerHarness(seed: 1, configuration: configuration)
        for partition in 0..<3 { try harness.append("warm\(partition)", to: partition) }
        #expect(try harness.settle())
        return harness
    }

    private func logged(_ harness: ProducerHarness, _ partition: Int = 0) -> [String] {
        harness.logs[partition].entries.map(\.value)
    }

    @Test func aBatchLingersAndThenGoes() throws {
        var harness = try warm(configuration())
        let start = harness.now
        try harness.append("a", to: 0)
        harness.step()
        let idle = try harness.happen()
        #expect(!idle)
        #expect(harness.nextStep == start + .milliseconds(5))
        harness.now = start + .milliseconds(5)
        harness.step()
        let sent = try harness.happen()
        #expect(sent)
        #expect(logged(harness) == ["warm0", "a"])
    }

    @Test func aFullBatchDoesNotLinger() throws {
        var configuration = configuration()
        configuration.batchSize = 200
        var harness = try warm(configuration)
        for index in 0..<4 { try harness.append("\(index)", to: 0, length: 50) }
        #expect(harness.core.needsStep)
        harness.step()
        _ = try harness.happen()
        #expect(logged(harness).count == 2)
        // Time has not passed, so that the last one still lingers when all others are written.
        while try harness.happen() {}
        #expect(harness.core.unfinished.count == 1)
        #expect(logged(harness).count == 4)
    }

    @Test func withoutLingerARecordGoesAtOnce() throws {
        var configuration = configuration()
        configuration.linger = .zero
        var harness = try warm(configuration)
        try harness.append("a", to: 0)
        #expect(harness.core.needsStep)
        harness.step()
        let sent = try harness.happen()
        #expect(sent)
        #expect(logged(harness) == ["warm0", "a"])
    }

    @Test func partitionsOfABrokerShareARequest() throws {
        var harness = try warm(configuration())
        harness.leaders = [0, 0, 0]
        harness.core.didLearn(.success(harness.metadata()), now: harness.now)
        for partition in 0..<3 { try harness.append("a", to: partition) }
        harness.core.closeOpenBatches()
        let actions = harness.core.step(now: harness.now)
        #expect(actions.requests.map(\.batches.count) == [3])
    }

    @Test func memoryIsBoundedAndFreedAgain() throws {
        var configuration = configuration()
        configuration.bufferMemory = 4096
        configuration.batchSize = 1000
        var harness = try warm(configuration)
        var count = 0
        let error = #expect(throws: ClientError.self) {
            while true {
                try harness.append("\(count)", to: count % 3, length: 100)
                #expect(harness.core.bufferedBytes <= 4096)
                count += 1
            }
        }
        #expect(error?.code == .bufferFull)
        #expect(error?.isRetriable == true)
        #expect(count > 10)
        #expect(harness.core.isExhausted)
        // Nothing lingers while somebody waits for memory.
        harness.step()
        let sent = try harness.happen()
        #expect(sent)
        #expect(try harness.settle())
        #expect(harness.core.bufferedBytes == 0)
        #expect(!harness.core.isExhausted)
        try harness.append("again", to: 0)
    }

    /// A topic that was deleted and made anew with fewer partitions: what waits for those that are gone fails at once, and
    /// records without a partition go where there are some.
    @Test func aTopicMadeAnewWithFewerPartitions() throws {
        var harness = try warm(configuration())
        try harness.append("gone", to: 2)
        var answer = harness.metadata()
        answer.topics[0].topicId = Uuid(high: 1, low: 2)
        answer.topics[0].partitions.removeLast(2)
        harness.core.didLearn(.success(answer), now: harness.now)
        harness.step()
        guard case .failure(let error) = harness.sent.last?.delivery.result else {
            Issue.record("the record for partition 2 still waits")
            return
        }
        #expect(error.protocolCode == .unknownTopicOrPartition)
        #expect(throws: ClientError.self) { try harness.append("x", to: 1) }
        for index in 0..<20 { try harness.append("\(index)") }
        #expect(harness.core.bufferedBytes > 0)
        #expect(harness.core.unfinished.count == 1)
    }

    /// Whoever writes to ever new topics does not ask for the old ones again and again.
    @Test func topicsThatNobodyWritesToAreNotAskedFor() throws {
        var harness = try warm(configuration())
        for _ in 0..<2 {
            harness.now += .seconds(301)
            let asked = harness.core.step(now: harness.now).metadata
            harness.core.didLearn(.success(harness.metadata()), now: harness.now)
            // Once more after the last batch.
            #expect(asked == ["t"] || asked == nil)
        }
        harness.now += .seconds(301)
        #expect(harness.core.step(now: harness.now).metadata == nil)
        try harness.append("again", to: 0)
        harness.now += .seconds(1)
        #expect(harness.core.step(now: harness.now).metadata == ["t"])
    }

    /// However records and memory relate, one that is not refused as too large finds room in the end.
    @Test(arguments: [1024, 1500, 4096, 5000, 70_000]) func memoryIsNeverStuck(bufferMemory: Int) throws {
        var configuration = configuration()
        configuration.bufferMemory = bufferMemory
        var harness = try warm(configuration)
        var generator = SplitMixGenerator(state: 5)
        let largest = bufferMemory * 3 / 4
        for index in 0..<300 {
            let length = Int.random(in: 0..<largest, using: &generator)
            let code = refusal(of: "\(index)", to: index % 3, length: length, &harness)
            if code == .bufferFull {
                let isSettled = try harness.settle()
                #expect(isSettled)
                let again = refusal(of: "\(index)", to: index % 3, length: length, &harness)
                #expect(again == nil)
            }
            let buffered = harness.core.bufferedBytes
            #expect(buffered <= bufferMemory)
        }
        #expect(try harness.settle())
        #expect(harness.core.counts.failed == 0)
    }

    private func refusal(
        of value: String, to partition: Int, length: Int, _ harness: inout ProducerHarness
    ) -> ClientError.Code? {
        do throws(ClientError) {
            try harness.append(value, to: partition, length: length)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func whatIsTooLargeOrNowhereIsRefused() throws {
        var configuration = configuration()
        configuration.maximumRequestSize = 2000
        var harness = try warm(configuration)
        let large = #expect(throws: ClientError.self) { try harness.append("", to: 0, length: 2000) }
        #expect(large?.code == .recordTooLarge)
        let nowhere = #expect(throws: ClientError.self) { try harness.append("a", to: 3) }
        #expect(nowhere?.code == .invalidArgument)
        #expect(harness.core.unfinished.isEmpty)
    }

    @Test func recordsWaitForTheirTopic() throws {
        var configuration = configuration()
        configuration.maximumBlock = .seconds(3)
        var harness = ProducerHarness(seed: 1, configuration: configuration)
        for index in 0..<10 { try harness.append("\(index)", to: index % 2) }
        try harness.append("nowhere", to: 9)
        #expect(try harness.settle())
        #expect(logged(harness, 0) == ["0", "2", "4", "6", "8"])
        #expect(logged(harness, 1) == ["1", "3", "5", "7", "9"])
        let offsets = try harness.sent.prefix(10).map { try $0.delivery.result?.get().offset }
        #expect(offsets == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
        #expect(harness.core.counts.failed == 1)
        if case .failure(let error)? = harness.sent[10].delivery.result {
            #expect(error.code == .invalidArgument)
        } else {
            Issue.record("a record to a partition that is not there has not failed")
        }
    }

    @Test func aTopicThatIsNotThereFailsAfterAWhile() throws {
        var configuration = configuration()
        configuration.maximumBlock = .seconds(3)
        var core = ProducerCore(configuration: configuration, seed: 1)
        let start = ContinuousClock.now
        let appended = try core.append(
            topic: "t", partition: nil, record: RecordFields(key: nil, value: nil, headers: [], timestamp: 1),
            clock: { start })
        #expect(core.step(now: start).metadata == ["t"])
        var topic = MetadataResponse.MetadataResponseTopic()
        topic.name = "t"
        topic.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
        var response = MetadataResponse()
        response.topics = [topic]
        core.didLearn(.success(response), now: start)
        // Not asked again at once.
        #expect(core.step(now: start).metadata == nil)
        #expect(core.step(now: start + .milliseconds(200)).metadata == ["t"])
        for (completion, outcome) in core.step(now: start + .seconds(3)).completions { completion.complete(outcome) }
        guard case .failed(let error)? = appended.completion.outcome else {
            Issue.record("still waits")
            return
        }
        #expect(error.protocolCode == .unknownTopicOrPartition)
        #expect(core.bufferedBytes == 0)
    }

    /// KIP-360: a gap that the broker reports is healed by a new epoch, under which nothing is written twice.
    @Test func aGapRaisesTheEpoch() throws {
        var harness = try warm(configuration())
        let identity = try #require(harness.core.currentIdentity)
        harness.faults.tooLarge = 1000
        try harness.append("lost", to: 0)
        harness.core.closeOpenBatches()
        harness.step()
        _ = try harness.happen()
        harness.faults.tooLarge = 0
        try harness.append("kept", to: 0)
        #expect(try harness.settle())
        #expect(logged(harness) == ["warm0", "kept"])
        #expect(harness.core.currentIdentity == ProducerIdentity(id: identity.id, epoch: identity.epoch + 1))
        try harness.append("other", to: 1)
        #expect(try harness.settle())
        #expect(logged(harness, 1) == ["warm1", "other"])
    }

    /// What a topic takes is found by halving, and each record still has its own delivery.
    @Test(arguments: [Compression.none, .zstd]) func aBatchThatIsTooLargeIsDivided(compression: Compression) throws {
        var configuration = configuration()
        configuration.compression = compression
        var harness = try warm(configuration)
        harness.recordLimit = 3
        for index in 0..<20 { try harness.append("\(index)", to: 0) }
        harness.core.closeOpenBatches()
        for index in 20..<25 { try harness.append("\(index)", to: 0) }
        #expect(try harness.settle())
        #expect(logged(harness) == ["warm0"] + (0..<25).map { "\($0)" })
        let offsets = try harness.sent.dropFirst(3).map { try $0.delivery.result?.get().offset }
        #expect(offsets == (1...25).map { Int64($0) })
        #expect(harness.core.counts.failed == 0)
        #expect(harness.core.bufferedBytes == 0)
        #expect(harness.core.currentIdentity?.epoch == 0)
    }

    @Test func anEpochThatIsUsedUpNeedsAnotherProducerId() throws {
        var harness = try warm(configuration())
        harness.core.identity = .known(ProducerIdentity(id: 1, epoch: .max))
        try harness.append("a", to: 0)
        #expect(try harness.settle())
        harness.faults.tooLarge = 1000
        try harness.append("lost", to: 0)
        harness.core.closeOpenBatches()
        harness.step()
        _ = try harness.happen()
        harness.faults.tooLarge = 0
        try harness.append("b", to: 0)
        #expect(try harness.settle())
        #expect(logged(harness) == ["warm0", "a", "b"])
        #expect(harness.core.currentIdentity == ProducerIdentity(id: 2, epoch: 0))
    }

    @Test func sequencesWrapAround() {
        var queue = PartitionQueue(topic: "t", partition: 0)
        let identity = ProducerIdentity(id: 1, epoch: 0)
        func batch(_ count: Int32) -> ProducerBatch {
            let batch = ProducerBatch(
                slot: 0, completion: BatchCompletion(topic: "t", partition: 0), created: ContinuousClock.now,
                capacity: 100)
            for _ in 0..<count {
                let record = RecordFields(key: nil, value: nil, headers: [], timestamp: 1)
                _ = batch.append(record, bound: record.lengthBound)
            }
            return batch
        }
        let first = batch(3)
        queue.assign(first, identity: identity)
        #expect(first.sequence?.base == 0)
        let second = batch(2)
        queue.assign(second, identity: identity)
        #expect(second.sequence?.base == 3)
        #expect(queue.nextSequence == 5)
        queue.confirm(first)
        queue.isUnresolved = true
        #expect(!queue.isGapCertain)
        queue.removeAssigned(first)
        queue.removeAssigned(second)
        #expect(queue.isGapCertain)
        queue.confirm(second)
        #expect(!queue.isGapCertain && !queue.isUnresolved)
    }

    @Test func aClosedProducerTakesNothing() throws {
        var harness = try warm(configuration())
        try harness.append("a", to: 0)
        harness.core.end(ClientError(.closed, "closed"))
        harness.step()
        #expect(throws: ClientError.self) { try harness.append("b", to: 0) }
        #expect(harness.core.unfinished.isEmpty)
        #expect(harness.core.bufferedBytes == 0)
        #expect(harness.core.counts.failed == 1)
    }

    @Test func contradictionsInTheConfigurationAreFound() {
        var configuration = configuration()
        #expect(configuration.fault() == nil)
        configuration.acknowledgements = .leader
        #expect(configuration.fault()?.code == .invalidArgument)
        configuration.isIdempotent = false
        configuration.maximumInFlightRequests = 6
        #expect(configuration.fault() == nil)
        configuration.transactionalId = "id"
        #expect(configuration.fault() != nil)
        configuration = self.configuration()
        configuration.compression = .gzip(level: 10)
        #expect(configuration.fault() != nil)
        configuration = self.configuration()
        configuration.deliveryTimeout = .seconds(1)
        #expect(configuration.fault() != nil)
    }
}
