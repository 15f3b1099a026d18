import CoordinatorCore
import KafkaProtocol
import Testing

@testable import GroupCoordinator

@Suite struct TransactionalOffsetTests {
    private let topics = TopicsImage.numbered(4, 2)

    private func harness() -> ShardHarness { ShardHarness(topics: topics) }

    // MARK: Pending, committed, aborted

    @Test(arguments: [false, true]) func offsetsCountWhenTheTransactionIsCommitted(restarts: Bool) {
        let harness = harness()
        #expect(harness.commit(offset: 1) == .none)
        #expect(harness.commitInTransaction(offset: 2) == .none)
        #expect(harness.commitInTransaction(partition: 1, offset: 3) == .none)
        if restarts { harness.restart() }
        #expect(harness.fetch() == 1)
        #expect(harness.stableFetch() == .failure(.unstableOffsetCommit))
        #expect(harness.stableFetch(partition: 1) == .failure(.unstableOffsetCommit))
        #expect(harness.stableFetch(partition: 2) == .success(-1))
        #expect(harness.end(true) == .none)
        if restarts { harness.restart() }
        #expect(harness.stableFetch() == .success(2))
        #expect(harness.fetch(partition: 1) == 3)
    }

    @Test(arguments: [false, true]) func offsetsAreForgottenWhenItIsAborted(restarts: Bool) {
        let harness = harness()
        #expect(harness.commitInTransaction(offset: 2) == .none)
        if restarts { harness.restart() }
        #expect(harness.end(false) == .none)
        if restarts { harness.restart() }
        #expect(harness.stableFetch() == .success(-1))
        // The next transaction has nothing of it.
        #expect(harness.commitInTransaction(partition: 1, offset: 3) == .none)
        #expect(harness.end(true) == .none)
        #expect(harness.fetch() == -1)
        #expect(harness.fetch(partition: 1) == 3)
    }

    @Test func theBatchesSayWhoseTheyAre() {
        let harness = harness()
        _ = harness.commitInTransaction(offset: 2, epoch: 3)
        _ = harness.end(true, epoch: 4, coordinator: 9, version: 2)
        #expect(harness.batches.count == 2)
        #expect(harness.batches[0].producer == TransactionalProducer(id: 7, epoch: 3))
        #expect(harness.batches[0].records.count == 1)
        let end = TransactionEnd(
            producerId: 7, producerEpoch: 4, isCommit: true, coordinatorEpoch: 9, transactionVersion: 2)
        #expect(harness.batches[1] == .endOfTransaction(end))
        _ = harness.commit(offset: 1)
        #expect(harness.batches[2].producer == nil)
        // Nothing to write, no batch.
        #expect(harness.commitInTransaction(topic: "nope", offset: 1, epoch: 4) == .unknownTopicOrPartition)
        _ = harness.commit(offset: 1)
        #expect(harness.batches.count == 4 && harness.batches[3].producer == nil)
    }

    @Test(arguments: [false, true]) func theLaterCommitInTheLogWins(restarts: Bool) {
        let harness = harness()
        // One transaction's commit before and one's after the plain one; two of the same offset.
        #expect(harness.commitInTransaction(offset: 1, producer: 1) == .none)
        #expect(harness.commit(offset: 2) == .none)
        #expect(harness.commitInTransaction(offset: 3, producer: 2) == .none)
        #expect(harness.commitInTransaction(offset: 4, producer: 3) == .none)
        if restarts { harness.restart() }
        #expect(harness.end(true, producer: 1) == .none)
        if restarts { harness.restart() }
        #expect(harness.fetch() == 2)
        #expect(harness.end(true, producer: 3) == .none)
        #expect(harness.fetch() == 4)
        if restarts { harness.restart() }
        #expect(harness.end(true, producer: 2) == .none)
        #expect(harness.stableFetch() == .success(4))
    }

    @Test func oneEndIsForAllGroups() {
        let harness = harness()
        #expect(harness.commitInTransaction("a", offset: 1) == .none)
        #expect(harness.commitInTransaction("b", offset: 2) == .none)
        #expect(harness.groupIds == ["a", "b"])
        #expect(harness.end(true) == .none)
        #expect(harness.fetch("a") == 1)
        #expect(harness.fetch("b") == 2)
    }

    @Test func stableReadsOfAllTopics() {
        let harness = harness()
        _ = harness.commit(offset: 1)
        _ = harness.commit(topic: "t1", offset: 2)
        _ = harness.commitInTransaction(offset: 3)
        _ = harness.commitInTransaction(partition: 3, offset: 4)
        func fetchAll(_ requireStable: Bool) -> [[Int64]] {
            var group = OffsetFetchRequest.OffsetFetchRequestGroup()
            group.groupId = "group"
            group.topics = nil
            var request = OffsetFetchRequest()
            request.groups = [group]
            request.requireStable = requireStable
            let token = harness.send(.offsetFetch(request), version: 9)
            guard case .offsetFetch(let response)? = harness.replies[token] else { return [] }
            let partitions = response.groups[0].topics.flatMap(\.partitions)
            return partitions.map { [Int64($0.errorCode), $0.committedOffset] }
        }
        #expect(fetchAll(false) == [[0, 1], [0, 2]])
        // What was never committed is not listed.
        #expect(fetchAll(true) == [[Int64(ErrorCode.unstableOffsetCommit.rawValue), -1], [0, 2]])
    }

    // MARK: Who may commit

    @Test func membersOfAClassicGroup() {
        let harness = harness()
        #expect(harness.commitInTransaction(offset: 1, memberId: "m", generation: 3) == .illegalGeneration)
        #expect(harness.groupIds.isEmpty)
        var clients = [ClassicClient("a", instanceId: "i")]
        harness.stabilize(&clients)
        let member = clients[0].memberId
        func commit(_ memberId: String, _ generation: Int32, _ instanceId: String? = nil) -> ErrorCode {
            harness.commitInTransaction(offset: 1, memberId: memberId, generation: generation, instanceId: instanceId)
        }
        #expect(commit(member, 1) == .none)
        #expect(commit(member, 1, "i") == .none)
        #expect(commit(member, 2) == .illegalGeneration)
        #expect(commit(member, -1) == .illegalGeneration)
        #expect(commit("other", 1) == .unknownMemberId)
        #expect(commit("other", 1, "i") == .fencedInstanceId)
        #expect(commit(member, 1, "j") == .unknownMemberId)
        // Before version 3 nobody says who it is.
        #expect(commit("", -1) == .none)
        // A transaction of the generation before may be completed while the next one has no assignment yet.
        var other = ClassicClient("b")
        let rejoin = other.joinWithId(harness)
        _ = rejoin
        clients[0].take(harness.join(clients[0].join(harness)))
        #expect(commit(member, clients[0].generation) == .none)
    }

    @Test func membersOfAConsumerGroup() {
        let harness = harness()
        var client = ConsumerClient("m")
        client.heartbeat(harness)
        func commit(_ memberId: String, _ epoch: Int32) -> ErrorCode {
            harness.commitInTransaction(offset: 1, memberId: memberId, generation: epoch)
        }
        #expect(commit("m", client.epoch) == .none)
        #expect(commit("m", client.epoch - 1) == .illegalGeneration)
        #expect(commit("m", -1) == .illegalGeneration)
        #expect(commit("other", client.epoch) == .unknownMemberId)
        #expect(commit("", -1) == .none)
        client.leave(harness)
        #expect(commit("gone", -1) == .none)
    }

    @Test func badRequests() {
        let harness = harness()
        #expect(harness.commitInTransaction("", offset: 1) == .invalidGroupId)
        #expect(harness.commitInTransaction(String(repeating: "g", count: 20_000), offset: 1) == .invalidGroupId)
        #expect(harness.commitInTransaction(topic: "nope", offset: 1) == .unknownTopicOrPartition)
        let long = String(repeating: "x", count: 4_097)
        #expect(harness.commitInTransaction(offset: 1, metadata: long) == .offsetMetadataTooLarge)
        #expect(harness.commitInTransaction(offset: 1, producer: -1) == .invalidProducerIdMapping)
        #expect(harness.commitInTransaction(offset: 1, epoch: -1) == .invalidProducerEpoch)
        #expect(harness.end(true, producer: -1) == .invalidProducerIdMapping)
        #expect(harness.end(true, epoch: -1) == .invalidProducerEpoch)
        var topic = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()
        topic.name = "t0"
        topic.partitions = (Int32(0)..<300).map { index in
            var partition = TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()
            partition.partitionIndex = index
            partition.committedMetadata = String(repeating: "x", count: 4_000)
            return partition
        }
        var request = TxnOffsetCommitRequest()
        request.groupId = "group"
        request.producerId = 7
        request.topics = [topic]
        let token = harness.send(.txnOffsetCommit(request, guard: harness.shard.transactionGuard), version: 3)
        #expect(harness.transactionalCommitError(token) == .invalidCommitOffsetSize)
        #expect(harness.batches.isEmpty)
    }

    // MARK: Fencing

    @Test(arguments: [false, true]) func oldEpochsAreFenced(restarts: Bool) {
        let harness = harness()
        #expect(harness.commitInTransaction(offset: 1, epoch: 3) == .none)
        if restarts { harness.restart() }
        #expect(harness.commitInTransaction(offset: 1, epoch: 2) == .invalidProducerEpoch)
        // Two transactions are not mixed: the end of this one never came.
        #expect(harness.commitInTransaction(offset: 1, epoch: 4) == .invalidTxnState)
        #expect(harness.end(true, epoch: 2) == .invalidProducerEpoch)
        #expect(harness.end(false, epoch: 4, coordinator: 5) == .none)
        if restarts { harness.restart() }
        #expect(harness.commitInTransaction(offset: 1, epoch: 3) == .invalidProducerEpoch)
        #expect(harness.end(true, epoch: 4, coordinator: 4) == .transactionCoordinatorFenced)
        #expect(harness.end(false, epoch: 4, coordinator: 5) == .none)
        #expect(harness.commitInTransaction(offset: 9, epoch: 4) == .none)
        #expect(harness.end(true, epoch: 4, coordinator: 6) == .none)
        #expect(harness.fetch() == 9)
    }

    @Test func anEndOfVersion2IsAheadOfItsTransaction() {
        let harness = harness()
        #expect(harness.commitInTransaction(offset: 1, epoch: 0) == .none)
        #expect(harness.end(true, epoch: 1, version: 2) == .none)
        #expect(harness.end(true, epoch: 1, version: 2) == .none)
        #expect(harness.commitInTransaction(offset: 2, epoch: 1) == .none)
        #expect(harness.end(false, epoch: 1, version: 2) == .invalidProducerEpoch)
        #expect(harness.stableFetch() == .failure(.unstableOffsetCommit))
        #expect(harness.end(true, epoch: 2, version: 2) == .none)
        #expect(harness.fetch() == 2)
    }

    @Test func aLateCommitIsRefused() {
        let harness = harness()
        let early = harness.shard.transactionGuard
        #expect(harness.end(false, producer: 8) == .none)
        // Another producer's end is no matter.
        #expect(harness.commitInTransaction(offset: 1, guard: early) == .none)
        #expect(harness.end(false) == .none)
        #expect(harness.commitInTransaction(offset: 1, guard: early) == .invalidTxnState)
        #expect(harness.commitInTransaction(offset: 1) == .none)
        // Nor may it join the next transaction.
        #expect(harness.commitInTransaction(offset: 1, guard: early) == .invalidTxnState)
        // Who was asked under another shard is asked again.
        let before = harness.shard.transactionGuard
        harness.now += 1
        harness.restart()
        #expect(harness.commitInTransaction(offset: 1, guard: before) == .coordinatorLoadInProgress)
    }

    @Test func producersAreForgottenButNotTheirTransactions() throws {
        var configuration = GroupConfiguration()
        configuration.producerIdExpirationMs = 1_000_000
        let harness = ShardHarness(configuration, topics: topics)
        #expect(harness.commitInTransaction(offset: 1, producer: 1, epoch: 5) == .none)
        #expect(harness.end(true, producer: 2, epoch: 5) == .none)
        let early = harness.shard.transactionGuard
        #expect(harness.end(true, producer: 3, epoch: 5) == .none)
        harness.advance(by: 1_900_000)
        #expect(harness.shard.producers.producers.keys.sorted() == [1, 2, 3])
        harness.advance(by: 700_000)
        #expect(harness.shard.producers.producers.keys.sorted() == [1])
        #expect(
            harness.commitInTransaction(offset: 2, producer: 3, epoch: 4, guard: early) == .coordinatorLoadInProgress)
        #expect(harness.commitInTransaction(offset: 2, producer: 3, epoch: 4) == .none)
        #expect(harness.end(true, producer: 1, epoch: 4) == .invalidProducerEpoch)
    }

    @Test func howManyProducersAreRememberedIsBounded() {
        var producers = TransactionalProducers()
        let open = TransactionalProducer(id: 0, epoch: 0)
        producers.began(open, now: 0)
        for id in Int64(1)...250_000 {
            let end = TransactionEnd(producerId: id, producerEpoch: 0, isCommit: true, coordinatorEpoch: 0)
            _ = producers.ended(end, now: id)
            precondition(producers.producers.count <= GroupLimits.rememberedProducers + 2)
        }
        #expect(producers.producers[0]?.hasOpenTransaction == true)
        #expect(producers.producers[250_000] != nil && producers.producers[1] == nil)
        #expect(
            producers.refusal(of: TransactionalProducer(id: 1, epoch: 0), endCount: 0) == .coordinatorLoadInProgress)
        #expect(producers.refusal(of: TransactionalProducer(id: 1, epoch: 0), endCount: 250_000) == nil)
    }

    // MARK: Deletion

    @Test(arguments: [false, true]) func nothingComesBackFromTheDead(restarts: Bool) {
        let harness = harness()
        _ = harness.commit("both", offset: 1)
        _ = harness.commitInTransaction("both", offset: 2)
        _ = harness.commitInTransaction("pending", partition: 1, offset: 3)
        _ = harness.commitInTransaction("offset", partition: 2, offset: 4)
        _ = harness.commitInTransaction("topic", topic: "t1", offset: 5)
        _ = harness.commitInTransaction("stays", offset: 6)
        if restarts { harness.restart() }
        #expect(harness.deleteGroup("both") == ErrorCode.none)
        #expect(harness.deleteGroup("pending") == ErrorCode.none)
        #expect(harness.deleteOffset("offset", partition: 2) == .none)
        var changed = topics
        changed.remove(name: "t1")
        harness.setTopics(changed)
        #expect(harness.stableFetch("offset", partition: 2) == .success(-1))
        if restarts { harness.restart() }
        #expect(harness.end(true) == .none)
        if restarts { harness.restart() }
        #expect(harness.groupIds == ["offset", "stays", "topic"])
        #expect(harness.fetch("both") == -1)
        #expect(harness.fetch("pending", partition: 1) == -1)
        #expect(harness.fetch("offset", partition: 2) == -1)
        #expect(harness.fetch("topic", topic: "t1") == -1)
        #expect(harness.fetch("stays") == 6)
    }

    @Test func openTransactionsKeepOffsetsAndGroups() {
        let harness = harness()
        let retention: Int64 = 8 * 86_400_000
        _ = harness.commit(offset: 1)
        _ = harness.commit(partition: 1, offset: 1)
        _ = harness.commitInTransaction(offset: 2)
        _ = harness.commitInTransaction("pending", offset: 3, producer: 8)
        harness.advance(by: retention)
        #expect(harness.fetch() == 1)
        #expect(harness.fetch(partition: 1) == -1)
        #expect(harness.groupIds == ["group", "pending"])
        #expect(harness.end(false) == .none)
        #expect(harness.end(false, producer: 8) == .none)
        harness.advance(by: 1_200_000)
        #expect(harness.fetch() == -1)
        #expect(harness.groupIds == [])
    }

    @Test func aGroupMayChangeItsProtocolMeanwhile() {
        let harness = harness()
        _ = harness.commitInTransaction(offset: 1)
        var client = ConsumerClient("m")
        client.heartbeat(harness)
        #expect(client.epoch > 0)
        harness.restart()
        #expect(harness.end(true) == .none)
        #expect(harness.fetch() == 1)
        #expect(harness.describeConsumer().groupState == "Stable")
    }

    // MARK: Failures

    @Test func failedAppends() {
        let harness = harness()
        harness.holdsAppends = true
        let commit = harness.sendCommitInTransaction(offset: 1)
        let end = harness.sendEnd(true)
        #expect(harness.transactionalCommitError(commit) == nil && harness.endError(end) == nil)
        harness.completeAppend(error: .messageTooLarge)
        #expect(harness.transactionalCommitError(commit) == .invalidCommitOffsetSize)
        #expect(harness.endError(end) == .coordinatorNotAvailable)
        // The shard is of no further use.
        #expect(harness.end(true) == .coordinatorNotAvailable)
        #expect(harness.commitInTransaction(offset: 1) == .coordinatorNotAvailable)
        harness.holdsAppends = false
        harness.restart()
        #expect(harness.end(true) == .none)
        #expect(harness.fetch() == -1)
    }

    @Test func repliesWaitForTheLog() {
        let harness = harness()
        harness.holdsAppends = true
        let commit = harness.sendCommitInTransaction(offset: 1)
        let end = harness.sendEnd(true)
        harness.completeAppend()
        #expect(harness.transactionalCommitError(commit) == ErrorCode.none)
        #expect(harness.endError(end) == nil)
        harness.completeAppend()
        #expect(harness.endError(end) == ErrorCode.none)
    }
}
