import KafkaProtocol
import TestSupport
import Testing

@testable import GroupCoordinator

/// Random members of one consumer group with lost replies, slow revocations, silence, changing topics, failed appends
/// and coordinators that restart from the log.
@Suite struct ConsumerGroupPropertyTests {
    /// A client that takes its time to let go of partitions.
    private struct Client {
        var protocolClient: ConsumerClient
        /// What it is really consuming.
        var held: TopicPartitionSet = .empty
        var isAlive = true
    }

    private struct World {
        let harness = ShardHarness(topics: .numbered(5, 3))
        var generator: SeededGenerator
        var clients: [Client] = []
        var committed: [Int32: Int64] = [:]
        var created = 0
        /// The last assignment that each client was told.
        var assigned: [Int: TopicPartitionSet] = [:]

        mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }

        mutating func heartbeat(_ index: Int) {
            var client = clients[index]
            let isJoining = client.protocolClient.epoch == 0
            client.protocolClient.owned = client.held
            if isJoining {
                client.protocolClient.owned = .empty
                client.held = .empty
            }
            let request = client.protocolClient.request(full: isJoining || chance(10))
            guard let response = send(request) else {
                clients[index] = client
                return
            }
            if chance(10) {
                // The reply is lost; the client will say the same again.
                clients[index] = client
                return
            }
            client.protocolClient.take(response)
            if client.protocolClient.epoch == 0 {
                client.held = .empty
            } else if response.errorCode == 0, response.assignment != nil {
                // New partitions at once; those to give up when it gets round to it.
                client.held = client.held.union(client.protocolClient.owned)
                assigned[index] = client.protocolClient.owned
                if chance(60) { client.held = client.protocolClient.owned }
            } else if let assignment = assigned[index], chance(60) {
                client.held = client.held.intersection(assignment)
            }
            clients[index] = client
        }

        /// Nil when the coordinator failed on the way.
        mutating func send(_ request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse? {
            guard chance(4) else { return harness.consumerHeartbeat(request) }
            harness.holdsAppends = true
            let token = harness.send(.consumerGroupHeartbeat(request), version: 1)
            if harness.held.isEmpty {
                harness.holdsAppends = false
                guard case .consumerGroupHeartbeat(let response)? = harness.replies[token] else { return nil }
                return response
            }
            #expect(harness.replies[token] == nil, "a reply left before its records were durable")
            harness.completeAppend(error: .notLeaderOrFollower)
            harness.holdsAppends = false
            harness.restart()
            return nil
        }

        mutating func step() {
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<6 where clients.filter(\.isAlive).count < 6:
                created += 1
                let instanceId = chance(25) ? "i\(created)" : nil
                var client = ConsumerClient("m\(created)", instanceId: instanceId)
                client.topics = ["t0", "t1"]
                clients.append(Client(protocolClient: client))
            case 6..<8:
                if let index = randomAlive() { clients[index].isAlive = false }
            case 8..<11:
                if let index = randomAlive() {
                    clients[index].protocolClient.leave(harness)
                    clients[index].isAlive = false
                    clients[index].held = .empty
                }
            case 11..<14:
                harness.advance(by: Int64.random(in: 0...30_000, using: &generator))
            case 14..<16:
                restartAndCompare()
            case 16..<17:
                harness.setTopics(
                    .numbered(
                        Int32.random(in: 3...6, using: &generator), Int32.random(in: 0...4, using: &generator)))
            case 17..<30:
                commit()
            default:
                if let index = randomAlive() { heartbeat(index) }
            }
        }

        mutating func randomAlive() -> Int? {
            clients.indices.filter { clients[$0].isAlive }.randomElement(using: &generator)
        }

        mutating func commit() {
            guard let index = randomAlive(), clients[index].protocolClient.epoch > 0 else { return }
            let partition = Int32.random(in: 0..<3, using: &generator)
            let offset = Int64.random(in: 0...1_000_000, using: &generator)
            let client = clients[index].protocolClient
            let error = harness.commit(
                partition: partition, offset: offset, memberId: client.memberId, generation: client.epoch)
            if error == .none { committed[partition] = offset }
        }

        /// Everything that a consumer group is comes from its records, so loading them gives the same group.
        mutating func restartAndCompare() {
            let before = harness.shard
            harness.restart()
            let after = harness.shard
            #expect(before.offsets == after.offsets)
            #expect(Set(before.consumerGroups.keys) == Set(after.consumerGroups.keys))
            guard let old = before.consumerGroups["group"], let new = after.consumerGroups["group"] else { return }
            #expect(old.groupEpoch == new.groupEpoch && old.assignmentEpoch == new.assignmentEpoch)
            #expect(old.members == new.members)
            #expect(old.staticMembers == new.staticMembers)
            #expect(old.targetAssignment == new.targetAssignment)
            #expect(old.subscriptionMetadata == new.subscriptionMetadata)
        }

        /// No partition is consumed by two clients that the coordinator would still let commit.
        func checkOwnership() {
            guard let group = harness.shard.consumerGroups["group"] else { return }
            var all = TopicPartitionSet.empty
            var count = 0
            for client in clients where client.protocolClient.epoch > 0 {
                guard let member = group.members[client.protocolClient.memberId] else { continue }
                let epoch = client.protocolClient.epoch
                guard epoch == member.memberEpoch || epoch == member.previousMemberEpoch else { continue }
                all = all.union(client.held)
                count += client.held.count
            }
            #expect(all.count == count, "two members have the same partition")
            for member in group.members.values {
                #expect(member.memberEpoch <= group.assignmentEpoch && group.assignmentEpoch <= group.groupEpoch)
            }
        }

        /// With calm, every live member ends with its fair share and every partition has a member.
        mutating func settle() {
            clients.removeAll { !$0.isAlive }
            // The dead ones are found out.
            for _ in 0..<20 {
                harness.advance(by: 5_000)
                for index in clients.indices { calmHeartbeat(index) }
            }
            guard !clients.isEmpty, let group = harness.shard.consumerGroups["group"] else { return }
            #expect(group.state == .stable)
            #expect(Set(group.members.keys) == Set(clients.map(\.protocolClient.memberId)))
            let held = clients.map(\.held)
            let all = held.reduce(TopicPartitionSet.empty) { $0.union($1) }
            let total = harness.topics.topicsByName.values.reduce(0) { $0 + Int($1.partitionCount) }
            #expect(all.count == total && held.reduce(0) { $0 + $1.count } == total)
            #expect(held.map(\.count).max()! - held.map(\.count).min()! <= 1)
            for client in clients { #expect(client.protocolClient.epoch == group.groupEpoch) }
        }

        private mutating func calmHeartbeat(_ index: Int) {
            var client = clients[index].protocolClient
            client.owned = clients[index].held
            if client.epoch == 0 { client.owned = .empty }
            client.heartbeat(harness, full: true)
            clients[index].protocolClient = client
            clients[index].held = client.owned
        }

        func checkEpochsInLog() {
            var last: Int32 = 0
            for case .consumerGroupMetadata(_, let value) in harness.records {
                #expect(value.map { $0.epoch > last } ?? true, "the group epoch went back")
                last = value?.epoch ?? 0
            }
        }
    }

    @Test(arguments: 0..<30) func membersNeverShareAPartition(seed: UInt64) {
        var world = World(generator: SeededGenerator(seed: seed))
        for _ in 0..<300 {
            world.step()
            world.checkOwnership()
        }
        for (partition, offset) in world.committed {
            #expect(world.harness.fetch(partition: partition) == offset)
        }
        world.settle()
        world.restartAndCompare()
        world.checkEpochsInLog()
        for (partition, offset) in world.committed {
            #expect(world.harness.fetch(partition: partition) == offset)
        }
    }
}
