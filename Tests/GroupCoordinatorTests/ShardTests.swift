import CoordinatorCore
import KafkaProtocol
import TestSupport
import Testing

@testable import GroupCoordinator

@Suite struct ShardTests {
    private let topics = TopicsImage.numbered(4)

    // MARK: Durability before replies

    @Test func repliesWaitForTheAppendsBeforeThem() {
        let harness = ShardHarness(topics: topics)
        harness.holdsAppends = true
        let first = harness.sendCommit(offset: 1)
        let second = harness.sendCommit(partition: 1, offset: 2)
        let read = harness.send(.listGroups(ListGroupsRequest()), version: 5)
        #expect(harness.replies.isEmpty)
        #expect(harness.held.map(\.token.rawValue) == [1, 2])
        harness.completeAppend()
        #expect(Set(harness.replies.keys) == [first])
        harness.completeAppend()
        #expect(Set(harness.replies.keys) == [first, second, read])
        // In the order of the requests.
        let order = harness.actions.compactMap { action -> RequestToken? in
            if case .reply(let token, _) = action { return token }
            return nil
        }
        #expect(order == [first, second, read])
    }

    @Test func oneRequestIsOneBatch() {
        let harness = ShardHarness(topics: topics)
        harness.holdsAppends = true
        var client = ConsumerClient("m")
        _ = harness.send(.consumerGroupHeartbeat(client.request(full: true)), version: 1)
        #expect(harness.held.count == 1)
        #expect(harness.held[0].records.map { $0.key[1] } == [5, 4, 3, 7, 6, 8])
        harness.completeAppend()
        harness.holdsAppends = false
        client.heartbeat(harness)
        #expect(client.epoch == 1)
    }

    @Test(arguments: [
        (ErrorCode.notLeaderOrFollower, ErrorCode.notCoordinator),
        (.kafkaStorageError, .notCoordinator),
        (.notEnoughReplicas, .coordinatorNotAvailable),
        (.requestTimedOut, .coordinatorNotAvailable),
        (.recordListTooLarge, .invalidCommitOffsetSize),
    ]) func failedAppendFailsEverythingThatWaits(error: ErrorCode, expected: ErrorCode) {
        let harness = ShardHarness(topics: topics)
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        // One member waits in a rebalance of another group.
        var parked = ClassicClient("p")
        parked.groupId = "other"
        let parkedJoin = parked.joinWithId(harness)
        harness.holdsAppends = true
        let member = clients[0].memberId
        let commit = harness.sendCommit(offset: 1, memberId: member, generation: 1)
        let later = harness.sendCommit(partition: 1, offset: 2, memberId: member, generation: 1)
        harness.completeAppend(error: error)
        #expect(harness.commitError(commit) == expected)
        // Others did nothing wrong and shall try again.
        let retriable: ErrorCode = expected == .notCoordinator ? .notCoordinator : .coordinatorNotAvailable
        #expect(harness.commitError(later) == retriable)
        #expect(harness.joinError(parkedJoin) == retriable)
        #expect(harness.shard.nextDeadline == nil)
        // The shard refuses everything from now on.
        #expect(clients[0].heartbeat(harness) == retriable)
        // The next one knows only what was written.
        harness.holdsAppends = false
        harness.restart()
        #expect(harness.fetch() == -1)
        #expect(clients[0].heartbeat(harness) == .none)
    }

    @Test func joinThatDependsOnAFailedAppendIsAnswered() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a", instanceId: "i")]
        harness.stabilize(&clients)
        harness.holdsAppends = true
        clients[0].memberId = ""
        let join = clients[0].join(harness)
        #expect(harness.join(join) == nil)
        harness.completeAppend(error: .notLeaderOrFollower)
        #expect(harness.joinError(join) == .notCoordinator)
        #expect(harness.join(join)?.generationId == -1)
    }

    @Test func manyDeletionsAreSeveralBatches() {
        let harness = ShardHarness(topics: .numbered(1_500))
        for partition in 0..<1_500 { _ = harness.commit(partition: Int32(partition), offset: 1) }
        harness.holdsAppends = true
        var request = DeleteGroupsRequest()
        request.groupsNames = ["group"]
        let token = harness.send(.deleteGroups(request), version: 2)
        #expect(harness.held.map(\.records.count) == [1_000, 501])
        harness.completeAppend()
        #expect(harness.replies[token] == nil)
        harness.completeAppend()
        #expect(harness.replies[token] != nil)
    }

    @Test func unloadingAnswersAll() {
        let harness = ShardHarness(topics: topics)
        var client = ClassicClient("a")
        let join = client.joinWithId(harness)
        var actions: [GroupAction] = []
        harness.shard.unload(error: .notCoordinator, now: harness.now, into: &actions)
        #expect(actions == [.reply(join, .joinGroup(.failure(.notCoordinator, memberId: client.memberId)))])
    }

    @Test func requestsBeforeTheEndOfLoadingAreRefused() {
        var shard = GroupCoordinatorShard(configuration: GroupConfiguration(), patternMatcher: PrefixPatternMatcher())
        var generator = SeededGenerator(seed: 0)
        var offsetFetch = OffsetFetchRequest()
        offsetFetch.groups = [OffsetFetchRequest.OffsetFetchRequestGroup()]
        var oldFetch = OffsetFetchRequest()
        var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
        topic.partitionIndexes = [3]
        oldFetch.topics = [topic]
        var describe = DescribeGroupsRequest()
        describe.groups = ["g"]
        var consumerDescribe = ConsumerGroupDescribeRequest()
        consumerDescribe.groupIds = ["g"]
        var delete = DeleteGroupsRequest()
        delete.groupsNames = ["g"]
        var transactional = TxnOffsetCommitRequest()
        var committed = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()
        committed.partitions = [TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()]
        transactional.topics = [committed]
        let end = TransactionEnd(producerId: 1, producerEpoch: 0, isCommit: true, coordinatorEpoch: 0)
        let requests: [(GroupRequest, Int16)] = [
            (.joinGroup(JoinGroupRequest()), 9), (.syncGroup(SyncGroupRequest()), 5),
            (.heartbeat(HeartbeatRequest()), 4), (.leaveGroup(LeaveGroupRequest()), 5),
            (.consumerGroupHeartbeat(ConsumerGroupHeartbeatRequest()), 1), (.offsetFetch(offsetFetch), 9),
            (.offsetFetch(OffsetFetchRequest()), 5), (.offsetFetch(oldFetch), 1), (.offsetFetch(oldFetch), 5),
            (.offsetDelete(OffsetDeleteRequest()), 0), (.describeGroups(describe), 6),
            (.consumerGroupDescribe(consumerDescribe), 0), (.listGroups(ListGroupsRequest()), 5),
            (.deleteGroups(delete), 2), (.txnOffsetCommit(transactional, guard: shard.transactionGuard), 3),
            (.endTransaction(end), 1),
        ]
        for (request, version) in requests {
            var actions: [GroupAction] = []
            let context = CoordinatorRequestContext(apiVersion: version, clientId: "c", clientHost: "h")
            shard.handle(
                request, token: RequestToken(rawValue: 1), context: context, now: 0, using: &generator, into: &actions)
            guard actions.count == 1, case .reply(_, let response) = actions[0] else {
                Issue.record("no reply")
                return
            }
            // Clients do not expect to hear of loading from these two; Kafka answers them so.
            let expected: ErrorCode =
                switch request {
                case .heartbeat: .none
                case .syncGroup: .rebalanceInProgress
                default: .coordinatorLoadInProgress
                }
            #expect(Set(errors(of: response)) == [expected.rawValue], "\(response)")
        }
    }

    @Test func partitionsTellOfACoordinatorThatIsNotThere() {
        func codes(_ version: Int16, _ code: ErrorCode) -> [Int16] {
            var request = OffsetFetchRequest()
            var old = OffsetFetchRequest.OffsetFetchRequestTopic()
            old.partitionIndexes = [3, 4]
            var group = OffsetFetchRequest.OffsetFetchRequestGroup()
            var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
            topic.partitionIndexes = [3, 4]
            group.topics = [topic]
            if version < 8 { request.topics = [old] } else { request.groups = [group] }
            let refusal = GroupCoordinatorShard.refusal(
                of: .offsetFetch(request), apiVersion: version, code)
            guard case .offsetFetch(let response) = refusal else { return [] }
            guard version >= 8 else { return [response.errorCode] + response.topics[0].partitions.map(\.errorCode) }
            return [response.groups[0].errorCode] + response.groups[0].topics[0].partitions.map(\.errorCode)
        }
        let (moved, unstable) = (ErrorCode.notCoordinator.rawValue, ErrorCode.unstableOffsetCommit.rawValue)
        for version: Int16 in 1...6 { #expect(codes(version, .notCoordinator) == [moved, moved, moved]) }
        for version: Int16 in 7...10 { #expect(codes(version, .notCoordinator) == [moved, unstable, unstable]) }
        // Asking again would not help.
        let invalid = ErrorCode.invalidGroupId.rawValue
        for version: Int16 in 1...10 { #expect(codes(version, .invalidGroupId) == [invalid, invalid, invalid]) }
    }

    private func errors(of response: GroupResponse) -> [Int16] {
        switch response {
        case .joinGroup(let response): return [response.errorCode]
        case .syncGroup(let response): return [response.errorCode]
        case .heartbeat(let response): return [response.errorCode]
        case .leaveGroup(let response): return [response.errorCode]
        case .consumerGroupHeartbeat(let response): return [response.errorCode]
        case .offsetCommit(let response): return response.topics.flatMap { $0.partitions.map(\.errorCode) }
        case .offsetFetch(let response):
            // The group's and each partition's: some clients look at one of them only.
            return response.groups.isEmpty
                ? [response.errorCode] + response.topics.flatMap { $0.partitions.map(\.errorCode) }
                : response.groups.map(\.errorCode)
        case .offsetDelete(let response): return [response.errorCode]
        case .describeGroups(let response): return response.groups.map(\.errorCode)
        case .consumerGroupDescribe(let response): return response.groups.map(\.errorCode)
        case .listGroups(let response): return [response.errorCode]
        case .deleteGroups(let response): return response.results.map(\.errorCode)
        case .txnOffsetCommit(let response): return response.topics.flatMap { $0.partitions.map(\.errorCode) }
        case .endTransaction(let code): return [code.rawValue]
        }
    }

    // MARK: Administration

    @Test func describeShowsWhatBelongsTogether() {
        let harness = ShardHarness()
        #expect(harness.describe().groupState == "Dead")
        #expect(harness.describe().errorCode == ErrorCode.groupIdNotFound.rawValue)
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        let group = harness.describe()
        #expect(group.groupState == "Stable" && group.protocolType == "consumer" && group.protocolData == "range")
        #expect(group.members[0].clientId == "a" && group.members[0].clientHost == "/127.0.0.1")
        #expect(group.members[0].memberAssignment == Array("a".utf8))
        #expect(group.members[0].memberMetadata == ClassicClient.subscription(["t0"]))
        _ = clients[0].join(harness)
        #expect(harness.describe().members[0].memberMetadata.isEmpty)
        #expect(harness.describeConsumer().errorMessage == "Group group is not a consumer group.")
    }

    @Test func listFiltersByStateAndType() {
        let harness = ShardHarness(topics: topics)
        _ = harness.commit("simple", offset: 1)
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        var consumer = ConsumerClient("m")
        consumer.groupId = "modern"
        consumer.heartbeat(harness)
        func list(_ states: [String], _ types: [String]) -> [String] {
            var request = ListGroupsRequest()
            request.statesFilter = states
            request.typesFilter = types
            let token = harness.send(.listGroups(request), version: 5)
            guard case .listGroups(let response)? = harness.replies[token] else { fatalError("no reply") }
            return response.groups.map { "\($0.groupId) \($0.protocolType) \($0.groupState) \($0.groupType)" }
        }
        #expect(
            list([], []) == [
                "group consumer Stable classic", "modern consumer Stable consumer", "simple  Empty classic",
            ])
        #expect(list(["empty"], []) == ["simple  Empty classic"])
        #expect(list(["Stable"], ["Consumer"]) == ["modern consumer Stable consumer"])
        #expect(list(["Dead"], []) == [])
    }

    @Test func groupsWithoutMembersCanBeDeleted() {
        let harness = ShardHarness(topics: topics)
        func delete(_ groups: String...) -> [Int16] {
            var request = DeleteGroupsRequest()
            request.groupsNames = groups
            let token = harness.send(.deleteGroups(request), version: 2)
            guard case .deleteGroups(let response)? = harness.replies[token] else { fatalError("no reply") }
            return response.results.map(\.errorCode)
        }
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        var consumer = ConsumerClient("m")
        consumer.groupId = "modern"
        consumer.heartbeat(harness)
        _ = harness.commit("simple", offset: 1)
        let nonEmpty = ErrorCode.nonEmptyGroup.rawValue
        let notFound = ErrorCode.groupIdNotFound.rawValue
        #expect(delete("group", "modern", "simple", "none") == [nonEmpty, nonEmpty, 0, notFound])
        #expect(harness.fetch("simple") == -1)
        _ = clients[0].leave(harness)
        consumer.leave(harness)
        #expect(delete("group", "modern", "simple") == [0, 0, notFound])
        harness.restart()
        #expect(delete("group", "modern", "simple") == [notFound, notFound, notFound])
    }

    @Test func loadedMembersGetAFullSession() {
        let harness = ShardHarness()
        var clients = [ClassicClient("a")]
        harness.stabilize(&clients)
        harness.advance(by: 9_000)
        harness.restart()
        harness.advance(by: 9_999)
        #expect(clients[0].heartbeat(harness) == .none)
        harness.restart()
        harness.advance(by: 10_000)
        #expect(clients[0].heartbeat(harness) == .unknownMemberId)
    }
}
