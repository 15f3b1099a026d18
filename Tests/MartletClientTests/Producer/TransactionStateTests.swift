import KafkaProtocol
import Synchronization
import Testing

@testable import MartletClient

@Suite struct TransactionStateTests {
    @Test func theCoordinatorLearnsOfPartitionsFirst() throws {
        var state = TransactionState()
        #expect(throws: ClientError.self) { try state.checkOpen() }
        state.begin(.clientAdds)
        try state.checkOpen()
        #expect(!state.hasWork)
        #expect([3, 1, 3].map { state.admits($0) } == [false, false, false])
        #expect(state.takeWanted() == [1, 3])
        // Before the answer, which may get lost.
        #expect(state.hasWork)
        let early = state.admits(5)
        #expect(!early)
        // One request at a time.
        #expect(state.takeWanted().isEmpty)
        state.didAdd()
        #expect(state.hasWork)
        #expect([3, 1, 5].map { state.admits($0) } == [true, true, false])
        #expect(state.takeWanted() == [5])
    }

    @Test func whatBelongsToOneTransactionGoesIntoNoOther() throws {
        var state = TransactionState()
        state.begin(.brokerAdds)
        let first = state.number
        try state.checkOpen(first)
        state.commit()
        #expect(throws: ClientError.self) { try state.checkOpen(first) }
        state.finish()
        state.begin(.brokerAdds)
        try state.checkOpen()
        try state.checkOpen(state.number)
        let late = #expect(throws: ClientError.self) { try state.checkOpen(first) }
        #expect(late?.code == .invalidState)
    }

    private final class Flag: Sendable {
        let isOver = Atomic(false)
    }

    @Test(.timeLimit(.minutes(1))) func anEndWaitsForCallsThatAreNotOver() async {
        let calls = PendingCalls()
        await calls.wait()
        calls.begin()
        calls.begin()
        let flag = Flag()
        let waiting = Task {
            await calls.wait()
            return flag.isOver.load(ordering: .sequentiallyConsistent)
        }
        calls.end()
        for _ in 0..<10 { await Task.yield() }
        flag.isOver.store(true, ordering: .sequentiallyConsistent)
        calls.end()
        #expect(await waiting.value)
    }

    @Test func anAnswerThatIsLostLeavesSomethingToEnd() {
        var state = TransactionState()
        let nothing = ClientError.refused(.invalidTxnState, "t")
        state.begin(.clientAdds)
        _ = state.admits(1)
        _ = state.takeWanted()
        #expect(!state.meansNothingToEnd(nothing, commit: false))
        state.didFailToAdd()
        #expect(state.hasWork)
        #expect(state.meansNothingToEnd(nothing.fatal(), commit: false))
        #expect(!state.meansNothingToEnd(nothing, commit: true))
        #expect(!state.meansNothingToEnd(ClientError.refused(.producerFenced, "t"), commit: false))
    }

    @Test func theBrokerAddsThemByItself() {
        var state = TransactionState()
        state.begin(.brokerAdds)
        let admitted = state.admits(3)
        #expect(admitted)
        #expect(state.takeWanted().isEmpty)
        #expect(!state.hasWork)
        state.willSend()
        #expect(state.hasWork)
    }

    @Test(arguments: [TransactionState.Version.clientAdds, .brokerAdds])
    func afterAFailureNothingIsSent(version: TransactionState.Version) {
        var state = TransactionState()
        state.begin(version)
        let isFirst = state.fail(ClientError(.timedOut, "late"))
        #expect(isFirst)
        #expect(state.failure?.code == .transactionAborted)
        let isSecond = state.fail(ClientError(.timedOut, "later"))
        #expect(!isSecond)
        let admitted = state.admits(0)
        #expect(!admitted)
        #expect(throws: ClientError.self) { try state.checkOpen() }
        state.abort()
        state.finish()
        // With version 2 the end itself brings the next epoch.
        #expect(state.needsNewEpoch == (version == .clientAdds))
    }

    @Test func errorsMeanWhatTheyMeanToKafkasClient() {
        let expected: [(ErrorCode, TransactionVerdict)] = [
            (.concurrentTransactions, .retry), (.coordinatorLoadInProgress, .retry), (.notCoordinator, .retry),
            (.coordinatorNotAvailable, .retry), (.unknownTopicOrPartition, .retry), (.requestTimedOut, .retry),
            (.invalidProducerEpoch, .fenced), (.producerFenced, .fenced),
            (.transactionAbortable, .abort), (.unknownProducerId, .abort), (.illegalGeneration, .abort),
            (.unknownMemberId, .abort), (.fencedInstanceId, .abort), (.groupAuthorizationFailed, .abort),
            (.invalidTxnState, .fatal), (.transactionalIdAuthorizationFailed, .fatal), (.unknownServerError, .fatal),
        ]
        for (code, verdict) in expected { #expect(TransactionVerdict(code) == verdict, "\(code)") }
    }
}
