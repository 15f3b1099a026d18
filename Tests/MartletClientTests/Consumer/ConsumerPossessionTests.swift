import Testing

@testable import MartletClient

/// What the application has counts, whatever becomes of what is fetched after it.
@Suite struct ConsumerPossessionTests {
    private func harness() throws -> ConsumerHarness {
        var configuration = ConsumerConfiguration(bootstrapServers: [BrokerAddress(host: "a", port: 1)])
        configuration.offsetReset = .earliest
        var harness = ConsumerHarness(
            seed: 1, configuration: configuration, partitionCount: 1, faults: ConsumerHarness.Faults())
        try harness.partitions[0].append(10, compressed: false, tag: "a")
        harness.step()
        for _ in 0..<200 where !harness.core.hasRecords {
            if !harness.happen() { harness.now += .milliseconds(50) }
            harness.step()
        }
        try #require(harness.core.hasRecords)
        return harness
    }

    private func give(_ harness: inout ConsumerHarness, _ taken: ConsumerCore.Taken) -> Bool {
        harness.core.didPrepare(
            taken, next: ConsumedOffset(taken.chunk.nextOffset), rest: nil, hasRecords: true)
    }

    private func expectGiven(_ isGiven: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(isGiven, sourceLocation: sourceLocation)
    }

    @Test func recordsThatAreFetchedAnewDoNotTakeAwayWhatIsAtHand() throws {
        var harness = try harness()
        let first = harness.core.takeChunk()
        let taken = try #require(first)
        expectGiven(give(&harness, taken))
        let slot = taken.reference.slot
        // As when memory is short and what waits of a paused partition is dropped.
        harness.core.rewind(slot, to: try #require(harness.core.slots[slot].position))
        harness.core.finishHandedOut()
        #expect(harness.core.slots[slot].done?.offset == taken.chunk.nextOffset)
    }

    @Test func whatASeekLeavesBehindDoesNotCount() throws {
        var harness = try harness()
        let first = harness.core.takeChunk()
        let taken = try #require(first)
        expectGiven(give(&harness, taken))
        harness.core.seek(taken.reference.slot, .offset(ConsumedOffset(3)))
        harness.core.finishHandedOut()
        #expect(harness.core.slots[taken.reference.slot].done?.offset == 3)
    }

    @Test(arguments: [false, true]) func whatCannotBeGivenNowIsGivenLater(isPaused: Bool) throws {
        var harness = try harness()
        let first = harness.core.takeChunk()
        let taken = try #require(first)
        let slot = taken.reference.slot
        let before = harness.core.bufferedBytes
        if isPaused {
            harness.core.setPaused(true, slot)
        } else {
            harness.core.slots[slot].failure = ClientError(.refused, "not allowed")
        }
        expectGiven(!give(&harness, taken))
        #expect(harness.core.bufferedBytes == before + taken.chunk.frame.byteCount)
        harness.core.slots[slot].failure = nil
        harness.core.setPaused(false, slot)
        let second = harness.core.takeChunk()
        let again = try #require(second)
        #expect(again.chunk.startOffset == taken.chunk.startOffset)
        expectGiven(give(&harness, again))
    }

    @Test func oneErrorIsToldOnce() throws {
        var harness = try harness()
        for _ in 0..<100 { harness.core.note(ClientError(.refused, "the same")) }
        for index in 0..<100 { harness.core.note(ClientError(.refused, "another \(index)")) }
        #expect(harness.core.errors.count == 16)
        #expect(harness.core.errors.filter { $0.message == "the same" }.count == 1)
    }
}
