import CoordinatorCore
import KafkaProtocol
import TestSupport
import Testing

@testable import GroupCoordinator

/// Random commits, in and out of transactions, ends, deletions, restarts and failed appends, against a model.
@Suite struct TransactionalOffsetPropertyTests {
    private struct Key: Hashable {
        var group: String
        var partition: Int32
    }

    private struct Commit: Equatable {
        var offset: Int64
        /// Counts the model's commits.
        var order: Int
    }

    /// What is in the log.
    private struct Model {
        var committed: [Key: Commit] = [:]
        var pending: [Int64: [Key: Commit]] = [:]
        var order = 0

        mutating func commit(_ key: Key, _ offset: Int64, by producer: Int64?) {
            order += 1
            if let producer {
                pending[producer, default: [:]][key] = Commit(offset: offset, order: order)
            } else {
                committed[key] = Commit(offset: offset, order: order)
            }
        }

        mutating func end(_ producer: Int64, isCommit: Bool) {
            let ended = pending.removeValue(forKey: producer) ?? [:]
            guard isCommit else { return }
            for (key, commit) in ended where commit.order > committed[key]?.order ?? 0 { committed[key] = commit }
        }

        mutating func delete(_ isDeleted: (Key) -> Bool) {
            committed = committed.filter { !isDeleted($0.key) }
            for producer in pending.keys {
                pending[producer] = pending[producer]?.filter { !isDeleted($0.key) }
            }
        }

        func isPending(_ key: Key) -> Bool { pending.values.contains { $0[key] != nil } }
    }

    /// What a producer's transaction coordinator knows.
    private struct Producer {
        var id: Int64
        var epoch: Int16 = 0
        var coordinatorEpoch: Int32 = 0
        var isOpen = false
        var hasEndedSinceGuard = false
        var oldGuard: TransactionGuard?
    }

    private final class World {
        let harness = ShardHarness(topics: .numbered(4))
        var generator: SeededGenerator
        var model = Model()
        var producers = (Int64(1)...4).map { Producer(id: $0) }
        /// What each held append will do to the model.
        var held: [(inout Model) -> Void] = []

        init(seed: UInt64) {
            generator = SeededGenerator(seed: seed)
        }

        func random(_ range: Range<Int>) -> Int { Int.random(in: range, using: &generator) }

        func randomKey() -> Key { Key(group: "g\(random(0..<3))", partition: Int32(random(0..<4))) }

        /// Does what leads to at most one append, and does the same to the model when that is in the log.
        func perform(_ change: @escaping (inout Model) -> Void, _ request: () -> Void) {
            let before = harness.held.count
            let written = harness.batches.count
            request()
            if harness.holdsAppends {
                #expect(harness.held.count <= before + 1)
                if harness.held.count > before { held.append(change) }
            } else if harness.batches.count > written {
                change(&model)
            }
        }

        func step() {
            switch random(0..<100) {
            case ..<25: commit()
            case ..<60: commitInTransaction()
            case ..<78: end()
            case ..<83: deleteOffset()
            case ..<85: deleteGroup()
            case ..<88: refusals()
            case ..<92:
                harness.now += 1
                producers.indices.forEach { producers[$0].oldGuard = nil }
                harness.restart()
            default: failAppends()
            }
        }

        func commit() {
            let key = randomKey()
            let offset = Int64(random(0..<1_000_000))
            perform({ $0.commit(key, offset, by: nil) }) {
                _ = harness.sendCommit(key.group, partition: key.partition, offset: offset)
            }
        }

        func commitInTransaction() {
            let index = random(0..<producers.count)
            let producer = producers[index]
            let key = randomKey()
            let offset = Int64(random(0..<1_000_000))
            perform({ $0.commit(key, offset, by: producer.id) }) {
                let token = harness.sendCommitInTransaction(
                    key.group, partition: key.partition, offset: offset, producer: producer.id, epoch: producer.epoch)
                let error = harness.transactionalCommitError(token)
                #expect(error == (harness.holdsAppends ? nil : ErrorCode.none))
            }
            producers[index].isOpen = true
        }

        func end() {
            let index = random(0..<producers.count)
            let isCommit = random(0..<3) > 0
            let version: Int16 = random(0..<2) == 0 ? 2 : 0
            if random(0..<4) == 0 { producers[index].coordinatorEpoch += 1 }
            if version == 2 { producers[index].epoch += 1 }
            let producer = producers[index]
            perform({ $0.end(producer.id, isCommit: isCommit) }) {
                let token = harness.sendEnd(
                    isCommit, producer: producer.id, epoch: producer.epoch, coordinator: producer.coordinatorEpoch,
                    version: version)
                #expect(harness.endError(token) == (harness.holdsAppends ? nil : ErrorCode.none))
            }
            producers[index].isOpen = false
            producers[index].hasEndedSinceGuard = true
        }

        func deleteOffset() {
            let key = randomKey()
            perform({ $0.delete { $0 == key } }) { _ = harness.deleteOffset(key.group, partition: key.partition) }
        }

        func deleteGroup() {
            let group = randomKey().group
            perform({ $0.delete { $0.group == group } }) { _ = harness.deleteGroup(group) }
        }

        /// Requests that are late or of an older incarnation change nothing.
        func refusals() {
            let index = random(0..<producers.count)
            let producer = producers[index]
            guard !harness.holdsAppends else { return }
            let written = harness.batches.count
            if let old = producer.oldGuard, producer.hasEndedSinceGuard {
                let error = harness.commitInTransaction(
                    offset: 1, producer: producer.id, epoch: producer.epoch, guard: old)
                #expect(error == .invalidTxnState)
            }
            // Nothing was written under this epoch yet, so the shard may not know it.
            if producer.isOpen || producer.coordinatorEpoch > 0, producer.epoch > 0,
                harness.shard.producers.producers[producer.id]?.epoch == producer.epoch
            {
                #expect(
                    harness.commitInTransaction(offset: 1, producer: producer.id, epoch: producer.epoch - 1)
                        == .invalidProducerEpoch)
                #expect(harness.end(true, producer: producer.id, epoch: producer.epoch - 1) == .invalidProducerEpoch)
            }
            #expect(harness.batches.count == written)
            producers[index].oldGuard = harness.shard.transactionGuard
            producers[index].hasEndedSinceGuard = false
        }

        /// Some appends are slow, then one fails and the shard is loaded again.
        func failAppends() {
            harness.holdsAppends = true
            let before = producers
            for _ in 0..<random(1..<6) {
                switch random(0..<4) {
                case 0: commit()
                case 1: commitInTransaction()
                case 2: end()
                default: deleteOffset()
                }
            }
            for _ in 0..<random(0..<held.count + 1) {
                harness.completeAppend()
                held.removeFirst()(&model)
            }
            let fails = !harness.held.isEmpty
            if fails { harness.completeAppend(error: .notEnoughReplicas) }
            harness.holdsAppends = false
            guard fails else { return }
            held.removeAll()
            harness.now += 1
            harness.restart()
            // The coordinator ends what is left open, with an epoch that nothing was written under.
            for index in producers.indices {
                producers[index] = before[index]
                producers[index].oldGuard = nil
                producers[index].epoch += 10
                producers[index].coordinatorEpoch += 10
                producers[index].isOpen = false
                let producer = producers[index]
                perform({ $0.end(producer.id, isCommit: false) }) {
                    #expect(
                        harness.end(
                            false, producer: producer.id, epoch: producer.epoch,
                            coordinator: producer.coordinatorEpoch) == .none)
                }
            }
        }

        func check(_ context: String) {
            for group in ["g0", "g1", "g2"] {
                for partition in Int32(0)..<4 {
                    let key = Key(group: group, partition: partition)
                    let expected = model.committed[key]?.offset ?? -1
                    #expect(harness.fetch(group, partition: partition) == expected, "\(key): \(context)")
                    #expect(
                        harness.stableFetch(group, partition: partition)
                            == (model.isPending(key) ? .failure(.unstableOffsetCommit) : .success(expected)),
                        "\(key): \(context)")
                }
            }
            // A shard that is loaded from the log is this one.
            let loaded = ShardHarness(topics: harness.topics)
            loaded.batches = harness.batches
            loaded.restart()
            #expect(loaded.shard.offsets == harness.shard.offsets, "\(context)")
            #expect(Self.essence(loaded.shard) == Self.essence(harness.shard), "\(context)")
            #expect(loaded.shard.producers.producersByGroup == harness.shard.producers.producersByGroup, "\(context)")
            #expect(loaded.shard.classicGroups.keys == harness.shard.classicGroups.keys, "\(context)")
        }

        /// All but when a producer was seen.
        static func essence(_ shard: GroupCoordinatorShard) -> [Int64: TransactionalProducers.Producer] {
            shard.producers.producers.mapValues { producer in
                var timeless = producer
                timeless.lastSeen = nil
                return timeless
            }
        }
    }

    @Test(arguments: UInt64(0)..<60) func offsetsAreThoseOfTheModel(seed: UInt64) {
        let world = World(seed: seed)
        for step in 0..<150 {
            world.step()
            if step % 3 == 0 { world.check("seed \(seed), step \(step)") }
        }
        world.check("seed \(seed), at the end")
        #expect(world.harness.batches.count > 50)
    }
}
