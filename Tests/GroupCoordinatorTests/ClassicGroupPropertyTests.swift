import CoordinatorCore
import KafkaProtocol
import TestSupport
import Testing

@testable import GroupCoordinator

/// Random members of one classic group that join, assign, sync, commit, restart as static members, die and leave, with
/// coordinators that fail and restart from the log.
@Suite struct ClassicGroupPropertyTests {
    private static let partitions = 6

    private enum Phase: Equatable {
        case idle
        case joining(RequestToken)
        case syncing(RequestToken)
        case member
        case dead
    }

    private struct Client {
        var protocolClient: ClassicClient
        var phase: Phase = .idle
        /// The partitions it was given, one byte each.
        var assignment: [UInt8] = []
    }

    private struct World {
        let harness: ShardHarness
        var generator: SeededGenerator
        var clients: [Client] = []
        var created = 0
        /// What the leader of each generation assigned.
        var assignments: [Int32: [String: [UInt8]]] = [:]
        var committed: [Int32: Int64] = [:]

        init(seed: UInt64) {
            generator = SeededGenerator(seed: seed)
            harness = ShardHarness(topics: .numbered(Int32(ClassicGroupPropertyTests.partitions)))
        }

        mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }

        mutating func randomAlive() -> Int? {
            clients.indices.filter { clients[$0].phase != .dead }.randomElement(using: &generator)
        }

        mutating func step() {
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<8 where clients.filter({ $0.phase != .dead }).count < 5:
                addClient()
            case 8..<10:
                if let index = randomAlive() { clients[index].phase = .dead }
            case 10..<12:
                if let index = randomAlive(), clients[index].phase == .member {
                    _ = clients[index].protocolClient.leave(harness)
                    clients[index].phase = .dead
                }
            case 12..<14:
                restartStaticClient()
            case 14..<16:
                restart()
            case 16..<18:
                failAnAppend()
            case 18..<30:
                harness.advance(by: Int64.random(in: 0...4_000, using: &generator))
            case 30..<45:
                commit()
            default:
                if let index = randomAlive() { act(index) }
            }
        }

        mutating func addClient() {
            created += 1
            var client = ClassicClient("c\(created)", instanceId: chance(30) ? "i\(created)" : nil)
            client.protocols = chance(50) ? ["range", "sticky"] : ["sticky", "range"]
            client.rebalanceTimeoutMs = 20_000
            clients.append(Client(protocolClient: client))
        }

        /// The process of a static member starts anew; the old one is gone.
        mutating func restartStaticClient() {
            guard let index = randomAlive(), clients[index].protocolClient.instanceId != nil else { return }
            clients[index].protocolClient.memberId = ""
            clients[index].protocolClient.generation = -1
            clients[index].phase = .idle
        }

        /// What a client does next.
        mutating func act(_ index: Int) {
            switch clients[index].phase {
            case .dead: break
            case .idle: clients[index].phase = .joining(clients[index].protocolClient.join(harness))
            case .joining(let token): joined(index, harness.join(token))
            case .syncing(let token): synced(index, harness.sync(token))
            case .member: react(index, to: clients[index].protocolClient.heartbeat(harness))
            }
        }

        mutating func joined(_ index: Int, _ response: JoinGroupResponse?) {
            guard let response else { return }
            guard response.errorCode == 0 else {
                if response.errorCode == ErrorCode.memberIdRequired.rawValue {
                    clients[index].protocolClient.memberId = response.memberId
                    clients[index].phase = .idle
                } else {
                    react(index, to: ErrorCode(rawValue: response.errorCode))
                }
                return
            }
            clients[index].protocolClient.take(response)
            var assignment: [String: [UInt8]] = [:]
            if response.leader == response.memberId && !response.skipAssignment {
                for partition in 0..<ClassicGroupPropertyTests.partitions {
                    let owner = response.members[partition % response.members.count].memberId
                    assignment[owner, default: []].append(UInt8(partition))
                }
                // The coordinator takes it only if it is still in that generation and waits for it.
                let group = harness.shard.classicGroups["group"]
                if group?.state == .completingRebalance, group?.generationId == response.generationId,
                    group?.leaderId == response.memberId
                {
                    assignments[response.generationId] = assignment
                }
            }
            clients[index].phase = .syncing(clients[index].protocolClient.sync(harness, assignment))
        }

        mutating func synced(_ index: Int, _ response: SyncGroupResponse?) {
            guard let response else { return }
            guard response.errorCode == 0 else {
                react(index, to: ErrorCode(rawValue: response.errorCode))
                return
            }
            clients[index].assignment = response.assignment
            clients[index].phase = .member
            // A replaced static member has the assignment of its predecessor, whose id the leader knew.
            let client = clients[index].protocolClient
            if client.instanceId == nil {
                #expect(response.assignment == assignments[client.generation]?[client.memberId] ?? [])
            }
        }

        mutating func react(_ index: Int, to error: ErrorCode) {
            switch error {
            case .none: break
            case .rebalanceInProgress, .illegalGeneration, .notCoordinator:
                clients[index].phase = .idle
            case .unknownMemberId:
                clients[index].protocolClient.memberId = ""
                clients[index].phase = .idle
            case .fencedInstanceId:
                clients[index].phase = .dead
            default:
                Issue.record("unexpected \(error)")
            }
        }

        mutating func commit() {
            guard let index = randomAlive(), clients[index].phase == .member else { return }
            guard let partition = clients[index].assignment.randomElement(using: &generator) else { return }
            let client = clients[index].protocolClient
            let offset = Int64.random(in: 0...1_000_000, using: &generator)
            let error = harness.commit(
                partition: Int32(partition), offset: offset, memberId: client.memberId,
                generation: client.generation, instanceId: client.instanceId)
            if error == .none { committed[Int32(partition)] = offset }
        }

        mutating func restart() {
            harness.restart()
            // Requests that waited are lost with their connections; clients send again.
            for index in clients.indices {
                switch clients[index].phase {
                case .joining(let token) where harness.join(token) == nil: clients[index].phase = .idle
                case .syncing(let token) where harness.sync(token) == nil: clients[index].phase = .idle
                default: break
                }
            }
        }

        /// A commit cannot be written; everything that waits is told, and another coordinator takes over.
        mutating func failAnAppend() {
            guard let index = randomAlive(), clients[index].phase == .member else { return }
            let client = clients[index].protocolClient
            harness.holdsAppends = true
            let token = harness.sendCommit(
                offset: 77, memberId: client.memberId, generation: client.generation, instanceId: client.instanceId)
            if !harness.held.isEmpty {
                #expect(harness.commitError(token) == nil)
                harness.completeAppend(error: .notLeaderOrFollower)
                #expect(harness.commitError(token) == .notCoordinator)
                harness.holdsAppends = false
                restart()
            }
            harness.holdsAppends = false
        }

        /// Members of the present generation never share a partition.
        func checkOwnership() {
            guard let group = harness.shard.classicGroups["group"], group.state == .stable else { return }
            var owned: [UInt8] = []
            for client in clients where client.phase == .member {
                let member = client.protocolClient
                guard member.generation == group.generationId, group.members[member.memberId] != nil else { continue }
                owned += client.assignment
            }
            #expect(Set(owned).count == owned.count, "two members have the same partition")
        }

        /// With calm, all live members end in one generation and have all partitions.
        mutating func settle() {
            for _ in 0..<80 {
                harness.advance(by: 1_000)
                for index in clients.indices { for _ in 0..<3 { act(index) } }
            }
            let alive = clients.filter { $0.phase != .dead }
            guard !alive.isEmpty, let group = harness.shard.classicGroups["group"] else { return }
            #expect(group.state == .stable)
            #expect(alive.allSatisfy { $0.phase == .member && $0.protocolClient.generation == group.generationId })
            #expect(Set(group.members.keys) == Set(alive.map(\.protocolClient.memberId)))
            let owned = alive.flatMap(\.assignment)
            #expect(owned.sorted() == (0..<UInt8(ClassicGroupPropertyTests.partitions)).map { $0 })
        }

        func checkLog() {
            var last: Int32 = 0
            for case .groupMetadata(_, let value) in harness.records {
                #expect(value.map { $0.generation >= last } ?? true, "the generation went back")
                last = value?.generation ?? 0
            }
        }

        /// What is loaded from the log is the stable group as it was.
        mutating func checkReplay() {
            let before = harness.shard.classicGroups["group"]
            let offsets = harness.shard.offsets
            restart()
            #expect(harness.shard.offsets == offsets)
            guard let before, before.state == .stable else { return }
            #expect(harness.shard.classicGroups["group"].map(Self.persistent) == Self.persistent(before))
        }

        private static func persistent(_ group: ClassicGroup) -> GroupRecord { group.metadataRecord }
    }

    @Test(arguments: 0..<30) func groupsComeToRestAndLoseNothing(seed: UInt64) {
        var world = World(seed: seed)
        for _ in 0..<600 {
            world.step()
            world.checkOwnership()
        }
        world.settle()
        world.checkReplay()
        world.checkLog()
        for (partition, offset) in world.committed {
            #expect(world.harness.fetch(partition: partition) == offset)
        }
    }
}
