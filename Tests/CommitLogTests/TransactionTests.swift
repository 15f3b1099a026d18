import RecordFormat
import Testing

@testable import CommitLog

/// Which batches may begin, join and end a transaction.
@Suite struct TransactionTests {
    let log: Log

    init() throws {
        log = try Fixture.open(SimulatedFileSystem(seed: 1))
    }

    func batch(_ sequence: Int32, epoch: Int16 = 0, producer: Int64 = 7, timestamp: Int64 = 1000) -> [UInt8] {
        Fixture.batch(
            ["x"], timestamp: timestamp, producerId: producer, epoch: epoch, sequence: sequence, transactional: true)
    }

    func append(_ batch: [UInt8], _ permission: AppendPermission) -> AppendOutcome {
        log.append([batch], permission)[0]
    }

    func end(
        _ outcome: EndTransactionMarker.Outcome = .commit, epoch: Int16 = 0, producer: Int64 = 7,
        coordinator: Int32 = 0, version: Int16 = 0
    ) -> AppendOutcome {
        append(
            EndTransactionMarker(outcome: outcome, coordinatorEpoch: coordinator).batch(
                producerId: producer, producerEpoch: epoch, timestamp: 1000),
            .marker(transactionVersion: version))
    }

    func appended(_ offset: Int64) -> AppendOutcome { .appended(baseOffset: offset, logAppendTime: -1) }

    @Test func clientsJoinButDoNotBegin() {
        #expect(append(batch(0), .client) == .refused(.invalidTransactionState))
        #expect(append(batch(0), .verified(at: 0)) == appended(0))
        #expect(append(batch(1), .client) == appended(1))
        #expect(append(batch(1), .client) == .duplicate(baseOffset: 1, logAppendTime: -1))
        #expect(end() == appended(2))
        #expect(append(batch(2), .client) == .refused(.invalidTransactionState))
        // Nobody waits any more for what was known before the end: these are other records under numbers used again. What
        // is old is fenced, whatever became of the transaction.
        #expect(append(batch(1), .client) == .refused(.outOfOrderSequenceNumber))
        #expect(append(batch(0, epoch: -1), .client) == .refused(.invalidProducerEpoch))
        // Refused for its transaction, not for its sequence number.
        #expect(append(batch(9), .client) == .refused(.invalidTransactionState))
        #expect(append(batch(9), .verified(at: 3)) == .refused(.outOfOrderSequenceNumber))
        log.updateHighWatermark(3)
        #expect(log.lastStableOffset == 3)
    }

    /// A client that gives up records when it aborts uses their numbers for others, whatever became of them.
    @Test(arguments: [true, false]) func numbersUsedAgainAreNoRepetitionOverASnapshot(hasOpen: Bool) throws {
        let disk = SimulatedFileSystem(seed: 1)
        var log = try Fixture.open(disk)
        let marker = EndTransactionMarker(outcome: .abort, coordinatorEpoch: 0).batch(
            producerId: 7, producerEpoch: 0, timestamp: 1000)
        #expect(log.append([batch(0)], .verified(at: 0)) == [appended(0)])
        if !hasOpen { #expect(log.append([marker], .marker(transactionVersion: 0)) == [appended(1)]) }
        try log.close(now: 1000)
        log = try Fixture.open(disk)
        let again = log.append([batch(0)], hasOpen ? .client : .verified(at: log.endOffset))
        // The repetition of what an open transaction has is one that its producer waits for.
        #expect(again == [hasOpen ? .duplicate(baseOffset: 0, logAppendTime: -1) : .refused(.outOfOrderSequenceNumber)])
        // The next transaction is hindered by nothing.
        if !hasOpen { #expect(log.append([batch(1)], .verified(at: log.endOffset)) == [appended(2)]) }
    }

    @Test func aVerificationIsWorthNothingAfterTheNextMarker() {
        #expect(append(batch(0), .verified(at: 0)) == appended(0))
        #expect(end() == appended(1))
        #expect(append(batch(1), .verified(at: 0)) == .refused(.outdatedVerification))
        #expect(append(batch(1), .verified(at: 1)) == .refused(.outdatedVerification))
        #expect(append(batch(1), .verified(at: 2)) == appended(2))
        // Nor does it help to join the next transaction.
        #expect(append(batch(2), .verified(at: 1)) == .refused(.invalidTransactionState))
        // A marker without a transaction ends what was verified all the same.
        #expect(end(producer: 8) == appended(3))
        #expect(append(batch(0, producer: 8), .verified(at: 3)) == .refused(.outdatedVerification))
        #expect(append(batch(0, producer: 9), .verified(at: 3)) == appended(4))
    }

    @Test func aMarkerThatCouldNotBeWrittenEndsNothing() throws {
        let disk = SimulatedFileSystem(seed: 1)
        let log = try Fixture.open(disk)
        log.append([batch(0)])
        disk.inject(.init(.write, pathSuffix: ".log", code: 28))
        let marker = EndTransactionMarker(outcome: .abort, coordinatorEpoch: 0).batch(
            producerId: 7, producerEpoch: 0, timestamp: 1)
        #expect(log.append([marker]) == [.refused(.diskFull)])
        #expect(log.append([batch(1)], .verified(at: 0)) == [appended(1)])
    }

    @Test func transactionsOfTwoEpochsAreNotMixed() {
        #expect(append(batch(0), .verified(at: 0)) == appended(0))
        for permission in [AppendPermission.client, .verified(at: 1), .coordinator] {
            #expect(append(batch(0, epoch: 1), permission) == .refused(.invalidTransactionState))
        }
        #expect(log.hasOpenTransaction(producerId: 7, producerEpoch: 0))
        #expect(!log.hasOpenTransaction(producerId: 7, producerEpoch: 1))
        // The end of the newer transaction settles the older one.
        #expect(end(.abort, epoch: 1) == appended(1))
        #expect(append(batch(0, epoch: 1), .verified(at: 2)) == appended(2))
        #expect(
            log.abortedTransactions(from: 0, to: 3) == [
                AbortedTransaction(producerId: 7, firstOffset: 0, lastOffset: 1, lastStableOffset: 2)
            ])
    }

    @Test func coordinatorsCountNoSequences() throws {
        #expect(append(batch(-1, timestamp: 50), .coordinator) == appended(0))
        #expect(append(batch(-1, timestamp: 60), .coordinator) == appended(1))
        var producer = try #require(log.activeProducers().first)
        #expect(producer.batchCount == 0 && producer.lastSequence == -1)
        #expect(producer.lastTimestamp == 60 && producer.transactionFirstOffset == 0)
        #expect(producer.lastDataOffset == 1)
        // A snapshot says the same, and so it is when Kafka wrote it.
        producer = try #require(ProducerSnapshot.decode(ProducerSnapshot.encode([producer]))?.first)
        #expect(producer.batchCount == 0 && producer.lastDataOffset == 1)
        #expect(producer.lastTimestamp == 60 && producer.transactionFirstOffset == 0)
        #expect(append(batch(-1, epoch: 2), .coordinator) == .refused(.invalidTransactionState))
        #expect(end(epoch: 2) == appended(2))
        #expect(append(batch(-1, epoch: 1), .coordinator) == .refused(.invalidProducerEpoch))
        #expect(log.activeProducers().first?.lastDataOffset == nil)
        let plain = Fixture.batch(["plain"])
        #expect(append(plain, .coordinator) == appended(3))
    }

    @Test func aCoordinatorsBatchLeavesSequencesAlone() throws {
        #expect(append(batch(0), .verified(at: 0)) == appended(0))
        #expect(append(batch(1), .client) == appended(1))
        #expect(append(batch(-1), .coordinator) == appended(2))
        #expect(append(batch(1), .client) == .duplicate(baseOffset: 1, logAppendTime: -1))
        #expect(append(batch(2), .client) == appended(3))
        let producer = try #require(log.activeProducers().first)
        #expect((0..<producer.batchCount).map { producer[batch: $0].lastSequence } == [0, 1, 2])
        #expect(producer.lastDataOffset == 3)
    }

    @Test func aMarkerOfVersion2IsAheadOfItsTransaction() {
        // Nothing is known of the producer, nothing is open: it does no harm.
        #expect(end(epoch: 1, version: 2) == appended(0))
        #expect(end(epoch: 1, version: 2) == appended(1))
        #expect(append(batch(0, epoch: 1), .verified(at: 2)) == appended(2))
        // The end of the transaction before, come late.
        #expect(end(.abort, epoch: 1, version: 2) == .refused(.invalidProducerEpoch))
        #expect(end(.abort, epoch: 0, version: 2) == .refused(.invalidProducerEpoch))
        #expect(log.hasOpenTransaction(producerId: 7, producerEpoch: 1))
        #expect(end(epoch: 2, version: 2) == appended(3))
        #expect(end(epoch: 2, version: 2) == appended(4))
        #expect(append(batch(0, epoch: 2), .verified(at: 5)) == appended(5))
        // Before version 2 the epochs are the same.
        #expect(end(epoch: 2, version: 1) == appended(6))
        #expect(end(epoch: 2, coordinator: 3) == appended(7))
        #expect(end(epoch: 3, coordinator: 2, version: 2) == .refused(.transactionCoordinatorFenced))
    }

    @Test func onlyCoordinatorsWriteMarkers() {
        let marker = EndTransactionMarker(outcome: .commit, coordinatorEpoch: 0).batch(
            producerId: 7, producerEpoch: 0, timestamp: 1000)
        for permission in [AppendPermission.client, .verified(at: 0), .coordinator] {
            #expect(append(marker, permission) == .refused(.corruptMessage))
        }
        #expect(append(batch(0), .marker(transactionVersion: 0)) == .refused(.corruptMessage))
    }

    @Test func theLastStableOffsetIsNotBelowTheStart() throws {
        log.append([batch(0)])
        log.append([Fixture.batch(["a"]), Fixture.batch(["b"])])
        log.updateHighWatermark(3)
        #expect(log.lastStableOffset == 0)
        try log.deleteRecords(before: 2, now: 1000)
        #expect(log.lastStableOffset == 2)
    }
}
