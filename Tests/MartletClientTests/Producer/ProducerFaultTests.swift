import KafkaProtocol
import RecordFormat
import Testing

@testable import MartletClient

/// Rare orders of events, each made by hand.
@Suite struct ProducerFaultTests {
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

    /// Has the core send a batch of these records to partition 0; its request stays open.
    private func send(_ values: [String], _ harness: inout ProducerHarness) throws -> BatchRequest {
        for value in values { try harness.append(value, to: 0) }
        harness.core.closeOpenBatches()
        let requests = step(&harness)
        try #require(requests.count == 1 && requests[0].batches.count == 1)
        return requests[0]
    }

    private func step(_ harness: inout ProducerHarness) -> [BatchRequest] {
        let actions = harness.core.step(now: harness.now)
        for (completion, outcome) in actions.completions { completion.complete(outcome) }
        return actions.requests
    }

    private func answer(_ request: BatchRequest, _ code: ErrorCode, _ harness: inout ProducerHarness) {
        harness.core.didReceive([BatchResult(errorCode: code.rawValue, baseOffset: 7)], for: request, now: harness.now)
    }

    private func isFailed(_ sent: ProducerHarness.Sent?) -> Bool {
        if case .failure? = sent?.delivery.result { true } else { false }
    }

    /// The event loop may be writing the batch's header while the producer ends.
    @Test func whatIsInFlightKeepsItsMemoryAtTheEnd() throws {
        var harness = try warm(configuration())
        let request = try send(["a"], &harness)
        harness.core.end(ClientError(.closed, "closed"))
        harness.core.end(ClientError(.closed, "closed again"))
        #expect(step(&harness).isEmpty)
        #expect(isFailed(harness.sent.last))
        #expect(request.batches[0].byteCount > 0)
        #expect(harness.core.bufferedBytes > 0)
        harness.core.didLose(request, ClientError(.connectionLost, "lost"), now: harness.now)
        _ = step(&harness)
        #expect(harness.core.bufferedBytes == 0)
        #expect(harness.core.unfinished.isEmpty)
        #expect(harness.core.counts.failed == 1)
    }

    @Test func theHalvesOfABatchEndWithTheProducer() throws {
        var harness = try warm(configuration())
        let request = try send(["a", "b"], &harness)
        try seal(request.batches[0])
        answer(request, .messageTooLarge, &harness)
        #expect(harness.core.unfinished.count == 2)
        harness.core.end(ClientError(.closed, "closed"))
        try #require(harness.core.unfinished.isEmpty)
        harness.now += .seconds(1000)
        _ = step(&harness)
        #expect(harness.core.counts.failed == 2)
        #expect(harness.core.bufferedBytes == 0)
    }

    /// The log has forgotten the producer: it takes a batch although the one before was refused, which is not in it.
    @Test func whatWasRefusedIsNotAcknowledgedWithALaterBatch() throws {
        var harness = try warm(configuration())
        let first = try send(["first"], &harness)
        let second = try send(["second"], &harness)
        answer(first, .notEnoughReplicas, &harness)
        answer(second, .none, &harness)
        let again = step(&harness)
        #expect(harness.sent[3].delivery.result == nil)
        #expect(try harness.sent[4].delivery.result?.get().offset == 7)
        #expect(again.first?.batches.first === first.batches[0])
        // Under another epoch, or the log would call it out of order.
        #expect(first.batches[0].sequence == ProducerBatch.Sequence(producerId: 1, producerEpoch: 1, base: 0))
    }

    @Test func whatIsInDoubtIsInTheLogWhenALaterBatchIs() throws {
        var harness = try warm(configuration())
        let first = try send(["first"], &harness)
        let second = try send(["second"], &harness)
        answer(first, .requestTimedOut, &harness)
        answer(second, .none, &harness)
        _ = step(&harness)
        #expect(try harness.sent[3].delivery.result?.get().offset == nil)
        #expect(harness.sent[3].delivery.result != nil)
    }

    /// A topic that was made anew has a log that knows nobody.
    @Test func anotherTopicIdMeansAnotherLog() throws {
        var harness = try warm(configuration())
        #expect(harness.core.partitions[0].isKnownToLog)
        var answer = harness.metadata()
        answer.topics[0].topicId = Uuid(high: 1, low: 2)
        harness.core.didLearn(.success(answer), now: harness.now)
        #expect(!harness.core.partitions[0].isKnownToLog)
    }

    @Test(arguments: [
        (ErrorCode.notLeaderOrFollower, true), (.unknownTopicOrPartition, true), (.notEnoughReplicas, false),
    ])
    func someRefusalsLeaveItInDoubt(code: ErrorCode, isInDoubt: Bool) throws {
        var harness = try warm(configuration())
        let request = try send(["a"], &harness)
        answer(request, code, &harness)
        #expect(request.batches[0].isInDoubt == isInDoubt)
    }

    /// The last batch was confirmed before the one ahead of it was given up: nothing would confirm anything later.
    @Test func whatIsGivenUpAfterTheLastConfirmationStopsNothing() throws {
        var harness = try warm(configuration())
        let first = try send(["first"], &harness)
        let second = try send(["second"], &harness)
        answer(second, .none, &harness)
        harness.now += harness.core.configuration.deliveryTimeout
        _ = step(&harness)
        #expect(isFailed(harness.sent[3]))
        answer(first, .requestTimedOut, &harness)
        #expect(harness.core.partitions[0].isUnresolved)
        let third = try send(["third"], &harness)
        #expect(third.batches[0].sequence?.base == 3)
    }

    @Test func aLateReplyTakesNoConfirmationBack() throws {
        var harness = try warm(configuration())
        let first = try send(["first"], &harness)
        let second = try send(["second"], &harness)
        answer(second, .none, &harness)
        answer(first, .none, &harness)
        harness.core.partitions[0].isUnresolved = true
        #expect(!harness.core.partitions[0].isGapCertain)
    }

    /// A plain abort leaves numbers behind that were sent: with version 1 the next transaction must not go on with them.
    @Test(arguments: [TransactionState.Version.clientAdds, .brokerAdds])
    func anAbortOfABatchThatWaitsNeedsANewEpoch(version: TransactionState.Version) throws {
        var configuration = configuration()
        configuration.transactionalId = "id"
        var harness = ProducerHarness(seed: 1, configuration: configuration)
        harness.core.identity = .known(ProducerIdentity(id: 1, epoch: 0))
        harness.core.transaction!.begin(version)
        try harness.append("warm", to: 0)
        #expect(try harness.settle())
        let request = try send(["a"], &harness)
        answer(request, .requestTimedOut, &harness)
        #expect(!harness.core.transaction!.needsNewEpoch)
        harness.core.abortTransaction()
        _ = step(&harness)
        #expect(isFailed(harness.sent.last))
        #expect(harness.core.transaction!.needsNewEpoch == (version == .clientAdds))
    }

    private func seal(_ batch: ProducerBatch) throws {
        try batch.seal(
            compression: .none, isTransactional: false, compressor: Compressor(), scratch: ScratchBuffer())
    }
}
