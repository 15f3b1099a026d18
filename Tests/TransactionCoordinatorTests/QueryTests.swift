import CoordinatorCore
import KafkaProtocol
import Testing

@testable import TransactionCoordinator

@Suite struct QueryTests {
    private func describe(_ harness: TransactionHarness, _ id: String) -> DescribeTransactionsResponse.TransactionState?
    {
        guard case .describe(let states)? = harness.replies[harness.send(.describe([id]), version: 0)] else {
            return nil
        }
        return states.first
    }

    @Test("a transaction is described with its partitions")
    func describing() {
        let harness = TransactionHarness()
        let producer = harness.begin()
        harness.sendAdd("a", producer, [partition(4, "u"), partition(2), partition(1)])
        let description = describe(harness, "a")
        #expect(description?.errorCode == 0 && description?.transactionalId == "a")
        #expect(description?.transactionState == "Ongoing")
        #expect(description?.producerId == producer.id && description?.producerEpoch == 0)
        #expect(description?.transactionTimeoutMs == 60_000)
        #expect(description?.transactionStartTimeMs == harness.now)
        #expect(description?.topics.map(\.topic) == ["t", "u"])
        #expect(description?.topics.map(\.partitions) == [[1, 2], [4]])
        #expect(describe(harness, "b")?.errorCode == ErrorCode.transactionalIdNotFound.rawValue)
        #expect(describe(harness, "")?.errorCode == ErrorCode.invalidRequest.rawValue)
        harness.sendEnd("a", producer, commit: false)
        #expect(describe(harness, "a")?.transactionState == "CompleteAbort")
        #expect(describe(harness, "a")?.topics == [])
    }

    @Test("states have Kafka's names and numbers")
    func states() {
        #expect(
            TransactionState.allCases.map(\.name) == [
                "Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead",
                "PrepareEpochFence",
            ])
        #expect(TransactionState.allCases.map(\.rawValue) == Array(0...7))
    }

    @Test("lists are filtered by state, producer id and duration")
    func listing() {
        let harness = TransactionHarness()
        let a = harness.begin("a")
        let b = harness.begin("b")
        _ = harness.begin("c")
        harness.sendAdd("a", a)
        harness.advance(by: 1_000)
        harness.sendAdd("b", b)
        harness.advance(by: 10)
        func list(_ states: [String] = [], _ ids: [Int64] = [], duration: Int64 = -1) -> ListTransactionsResponse? {
            var request = ListTransactionsRequest()
            request.stateFilters = states
            request.producerIdFilters = ids
            request.durationFilter = duration
            guard case .list(let response)? = harness.replies[harness.send(.list(request), version: 1)] else {
                return nil
            }
            return response
        }
        func ids(_ response: ListTransactionsResponse?) -> [String]? {
            response?.transactionStates.map(\.transactionalId)
        }
        #expect(ids(list()) == ["a", "b", "c"])
        #expect(list()?.transactionStates.map(\.transactionState) == ["Ongoing", "Ongoing", "Empty"])
        #expect(list()?.transactionStates[0].producerId == a.id)
        #expect(ids(list(["Ongoing"])) == ["a", "b"])
        #expect(ids(list(["Empty", "Dead"])) == ["c"])
        let unknown = list(["Fancy", "Empty"])
        #expect(ids(unknown) == ["c"] && unknown?.unknownStateFilters == ["Fancy"])
        #expect(ids(list(["Fancy"])) == [])
        #expect(ids(list([], [b.id, 9])) == ["b"])
        #expect(ids(list(["Ongoing"], duration: 10)) == ["a"])
        #expect(ids(list(["Ongoing"], duration: 9)) == ["a", "b"])
        #expect(ids(list(["Ongoing"], duration: 1_010)) == [])
        #expect(ids(list(["Ongoing"], duration: .max)) == [])
    }
}
