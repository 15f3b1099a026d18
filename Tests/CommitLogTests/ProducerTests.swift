import RecordFormat
import Testing

@testable import CommitLog

@Suite struct ProducerTests {
    let disk = SimulatedFileSystem(seed: 1)

    func batch(_ sequence: Int32, count: Int = 1, epoch: Int16 = 0, producer: Int64 = 7, transactional: Bool = false)
        -> [UInt8]
    {
        Fixture.batch(
            (0..<count).map { "\(Int(sequence) + $0)" }, producerId: producer, epoch: epoch, sequence: sequence,
            transactional: transactional)
    }

    func marker(_ outcome: EndTransactionMarker.Outcome, epoch: Int16 = 0, producer: Int64 = 7, coordinator: Int32 = 0)
        -> [UInt8]
    {
        EndTransactionMarker(outcome: outcome, coordinatorEpoch: coordinator).batch(
            producerId: producer, producerEpoch: epoch, timestamp: 1000)
    }

    func refusal(_ outcomes: [AppendOutcome]) -> AppendRefusal? {
        if case .refused(let refusal)? = outcomes.first { return refusal }
        return nil
    }

    @Test func theLastFiveBatchesAreRecognized() throws {
        let log = try Fixture.open(disk)
        for sequence in Int32(0)..<6 { log.append([batch(sequence * 2, count: 2)]) }
        for sequence in Int32(1)..<6 {
            #expect(
                log.append([batch(sequence * 2, count: 2)])
                    == [.duplicate(baseOffset: Int64(sequence) * 2, logAppendTime: -1)])
        }
        #expect(refusal(log.append([batch(0, count: 2)])) == .outOfOrderSequenceNumber)
        // The same start with another length is not the same batch.
        #expect(refusal(log.append([batch(10, count: 1)])) == .outOfOrderSequenceNumber)
        #expect(log.endOffset == 12)
    }

    @Test func aDuplicateInTheSameTickIsOne() throws {
        let log = try Fixture.open(disk)
        #expect(
            log.append([batch(0), batch(0), batch(1)]) == [
                .appended(baseOffset: 0, logAppendTime: -1), .duplicate(baseOffset: 0, logAppendTime: -1),
                .appended(baseOffset: 1, logAppendTime: -1),
            ])
    }

    @Test func gapsAreRefusedAndUnknownProducersAreNot() throws {
        let log = try Fixture.open(disk)
        #expect(refusal(log.append([batch(40)])) == nil)
        #expect(refusal(log.append([batch(42)])) == .outOfOrderSequenceNumber)
        #expect(refusal(log.append([batch(41)])) == nil)
    }

    @Test func aNewEpochStartsAtZeroAndOldOnesAreFenced() throws {
        let log = try Fixture.open(disk)
        log.append([batch(0, epoch: 3)])
        #expect(refusal(log.append([batch(1, epoch: 4)])) == .outOfOrderSequenceNumber)
        #expect(refusal(log.append([batch(0, epoch: 4)])) == nil)
        #expect(refusal(log.append([batch(1, epoch: 3)])) == .invalidProducerEpoch)
    }

    @Test func sequencesWrap() throws {
        let log = try Fixture.open(disk)
        log.append([batch(.max - 1, count: 3)])
        #expect(
            log.append([batch(.max - 1, count: 3)]) == [.duplicate(baseOffset: 0, logAppendTime: -1)])
        #expect(refusal(log.append([batch(0)])) == .outOfOrderSequenceNumber)
        #expect(refusal(log.append([batch(1)])) == nil)
        log.append([batch(.max, producer: 8)])
        #expect(refusal(log.append([batch(0, producer: 8)])) == nil)
    }

    @Test func silentProducersAreForgottenButNotTheirTransactions() throws {
        let log = try Fixture.open(disk)
        log.append([batch(0), batch(0, producer: 8, transactional: true)])
        log.expireProducers(now: 1000 + 86_399_999)
        #expect(log.activeProducers().count == 2)
        log.expireProducers(now: 1000 + 86_400_000)
        #expect(log.activeProducers().map(\.producerId) == [8])
        #expect(refusal(log.append([batch(5)])) == nil)
    }

    @Test func transactionsHoldTheLastStableOffset() throws {
        let log = try Fixture.open(disk)
        log.append([
            Fixture.batch(["plain"]), batch(0, transactional: true), batch(0, producer: 8, transactional: true),
        ])
        log.updateHighWatermark(3)
        #expect(log.lastStableOffset == 1)
        #expect(refusal(log.append([batch(1)])) == .invalidTransactionState)
        log.append([marker(.abort)])
        // Until the marker is committed another leader may not have it.
        #expect(log.lastStableOffset == 1)
        log.updateHighWatermark(4)
        #expect(log.lastStableOffset == 2)
        log.append([marker(.commit, producer: 8)])
        log.updateHighWatermark(5)
        #expect(log.lastStableOffset == 5)
        #expect(
            log.abortedTransactions(from: 0, to: 5) == [
                AbortedTransaction(producerId: 7, firstOffset: 1, lastOffset: 3, lastStableOffset: 2)
            ])
        #expect(log.abortedTransactions(from: 4, to: 5).isEmpty)
        #expect(log.abortedTransactions(from: 0, to: 1).isEmpty)
    }

    @Test func markersOfReplacedCoordinatorsAreRefused() throws {
        let log = try Fixture.open(disk)
        log.append([batch(0, transactional: true), marker(.commit, coordinator: 5)])
        #expect(refusal(log.append([marker(.abort, coordinator: 4)])) == .transactionCoordinatorFenced)
        #expect(refusal(log.append([marker(.abort, epoch: -1, coordinator: 6)])) == .invalidProducerEpoch)
    }

    @Test(arguments: [true, false]) func producersSurviveARestart(clean: Bool) throws {
        let configuration = Fixture.configuration(segmentBytes: 300)
        var log = try Fixture.open(disk, configuration)
        for sequence in Int32(0)..<7 { log.append([batch(sequence)]) }
        log.append([batch(0, producer: 8, transactional: true), marker(.abort, producer: 8)])
        log.append([batch(0, producer: 9, transactional: true)])
        let before = log.activeProducers().map(\.lastSequence)
        let aborted = log.abortedTransactions(from: 0, to: 100)
        if clean { try log.close(now: 1000) } else { disk.restartProcess() }
        log = try Fixture.open(disk, configuration, clean: clean)
        #expect(log.activeProducers().map(\.lastSequence) == before)
        #expect(log.abortedTransactions(from: 0, to: 100) == aborted)
        #expect(aborted.count == 1)
        #expect(log.append([batch(6)]) == [.duplicate(baseOffset: 6, logAppendTime: -1)])
        #expect(log.hasOpenTransaction(producerId: 9, producerEpoch: 0))
        #expect(!log.hasOpenTransaction(producerId: 9, producerEpoch: 1))
        #expect(!log.hasOpenTransaction(producerId: 8, producerEpoch: 0))
        log.updateHighWatermark(log.endOffset)
        #expect(log.lastStableOffset == 9)
    }

    @Test func truncationTakesProducersBack() throws {
        let log = try Fixture.open(disk, Fixture.configuration(segmentBytes: 300))
        for sequence in Int32(0)..<10 { log.append([batch(sequence)]) }
        log.append([batch(0, producer: 8, transactional: true)])
        try log.truncate(to: 5, now: 1000)
        #expect(log.activeProducers().map(\.lastSequence) == [4])
        #expect(refusal(log.append([batch(6)])) == .outOfOrderSequenceNumber)
        #expect(log.append([batch(5)]) == [.appended(baseOffset: 5, logAppendTime: -1)])
        log.updateHighWatermark(6)
        #expect(log.lastStableOffset == 6)
    }

    @Test func aSnapshotIsReadOnlyWhole() throws {
        let log = try Fixture.open(disk)
        log.append([batch(3), batch(0, producer: 8, transactional: true)])
        let bytes = ProducerSnapshot.encode(log.activeProducers())
        let read = try #require(ProducerSnapshot.decode(bytes))
        #expect(read.map(\.lastBatch) == log.activeProducers().map(\.lastBatch))
        #expect(read.map(\.transactionFirstOffset) == [-1, 1])
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x10
            #expect(ProducerSnapshot.decode(damaged) == nil)
            #expect(ProducerSnapshot.decode(Array(bytes[..<index])) == nil)
        }
    }
}
