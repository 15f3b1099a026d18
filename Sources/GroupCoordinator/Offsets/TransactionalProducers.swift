import CoordinatorCore
import KafkaProtocol

/// What a shard knew of ended transactions when the coordinator of a producer's transaction was asked whether that is
/// open. A commit that comes with it is refused if the transaction has ended since (KIP-890).
package struct TransactionGuard: Sendable, Equatable {
    /// Tells shards apart that were loaded one after the other; nil before a shard was.
    let loadedAt: Int64?
    let endCount: UInt64
}

/// The producers that commit offsets in transactions, and what their open transactions would commit.
struct TransactionalProducers: Sendable, Equatable {
    struct Producer: Sendable, Equatable {
        var epoch: Int16 = -1
        var coordinatorEpoch: Int32 = -1
        var hasOpenTransaction = false
        /// The offsets of the open transaction.
        var pending = OffsetStore()
        /// Which of the ends its last one was, counted from 1; 0 for none.
        var lastEnd: UInt64 = 0
        /// nil when it is known only from the log.
        var lastSeen: Int64?
    }

    private(set) var producers: [Int64: Producer] = [:]
    /// The producers with pending offsets in a group. Invariant: no empty sets.
    private(set) var producersByGroup: [String: Set<Int64>] = [:]
    /// How many transactions' ends came by, in the log and after it.
    private(set) var endCount: UInt64 = 0
    /// The latest end of a producer that was forgotten.
    private var lastForgottenEnd: UInt64 = 0
    private var forgetsAtCount = GroupLimits.rememberedProducers

    // MARK: Checks

    /// Why a producer may not commit offsets in its transaction.
    func refusal(of producer: TransactionalProducer, endCount known: UInt64) -> ErrorCode? {
        if producer.id < 0 { return .invalidProducerIdMapping }
        if producer.epoch < 0 { return .invalidProducerEpoch }
        guard let state = producers[producer.id] else {
            // It may have ended a transaction before it was forgotten. Whoever asks again gets a later guard.
            return known < lastForgottenEnd ? .coordinatorLoadInProgress : nil
        }
        if producer.epoch < state.epoch { return .invalidProducerEpoch }
        if state.lastEnd > known { return .invalidTxnState }
        // An older transaction whose end never came: the next end must not decide over both.
        return state.hasOpenTransaction && producer.epoch != state.epoch ? .invalidTxnState : nil
    }

    /// Why a transaction's end is not written: the rules are the log's, which would refuse it too.
    func refusal(of end: TransactionEnd) -> ErrorCode? {
        if end.producerId < 0 { return .invalidProducerIdMapping }
        if end.producerEpoch < 0 { return .invalidProducerEpoch }
        guard let state = producers[end.producerId] else { return nil }
        if end.producerEpoch < state.epoch { return .invalidProducerEpoch }
        // From version 2 on an end is one epoch ahead of its transaction; this is that of the transaction before.
        if end.transactionVersion >= 2, state.hasOpenTransaction, end.producerEpoch == state.epoch {
            return .invalidProducerEpoch
        }
        return end.coordinatorEpoch < state.coordinatorEpoch ? .transactionCoordinatorFenced : nil
    }

    // MARK: Pending offsets

    func hasPendingOffsets(group groupId: String) -> Bool { producersByGroup[groupId] != nil }

    func hasPendingOffset(group groupId: String, topic: String, partition: Int32) -> Bool {
        producersByGroup[groupId, default: []].contains { id in
            producers[id]?.pending.offset(group: groupId, topic: topic, partition: partition) != nil
        }
    }

    /// The partitions with pending offsets, by topic.
    func pendingPartitions(of groupId: String) -> [String: Set<Int32>] {
        var partitions: [String: Set<Int32>] = [:]
        for id in producersByGroup[groupId, default: []] {
            for (topic, offsets) in producers[id]?.pending.topics(of: groupId) ?? [:] {
                partitions[topic, default: []].formUnion(offsets.keys)
            }
        }
        return partitions
    }

    /// Takes note of a record in a producer's transaction.
    mutating func began(_ producer: TransactionalProducer, now: Int64?) {
        forgetIfTooMany()
        producers[producer.id, default: Producer()].hasOpenTransaction = true
        producers[producer.id]!.epoch = max(producers[producer.id]!.epoch, producer.epoch)
        producers[producer.id]!.lastSeen = now
    }

    mutating func setPending(
        _ offset: CommittedOffset, by producer: TransactionalProducer, group groupId: String, topic: String,
        partition: Int32
    ) {
        producers[producer.id, default: Producer()].pending.set(
            offset, group: groupId, topic: topic, partition: partition)
        producersByGroup[groupId, default: []].insert(producer.id)
    }

    /// Drops what all open transactions would commit for a partition.
    mutating func removePending(group groupId: String, topic: String, partition: Int32) {
        for id in producersByGroup[groupId, default: []] {
            producers[id]?.pending.remove(group: groupId, topic: topic, partition: partition)
            if producers[id]?.pending.hasOffsets(group: groupId) != true { removeFromGroup(groupId, id) }
        }
    }

    /// Ends a producer's transaction; returns what it would commit.
    mutating func ended(_ end: TransactionEnd, now: Int64?) -> OffsetStore {
        forgetIfTooMany()
        endCount += 1
        var state = producers[end.producerId] ?? Producer()
        let pending = state.pending
        state.epoch = max(state.epoch, end.producerEpoch)
        state.coordinatorEpoch = max(state.coordinatorEpoch, end.coordinatorEpoch)
        state.hasOpenTransaction = false
        state.pending = OffsetStore()
        state.lastEnd = endCount
        state.lastSeen = now
        producers[end.producerId] = state
        for groupId in pending.offsets.keys { removeFromGroup(groupId, end.producerId) }
        return pending
    }

    private mutating func removeFromGroup(_ groupId: String, _ id: Int64) {
        producersByGroup[groupId]?.remove(id)
        if producersByGroup[groupId]?.isEmpty == true { producersByGroup[groupId] = nil }
    }

    /// Takes note of what the log knows of a producer, whose records may have been compacted away.
    mutating func remember(_ producer: TransactionalProducer, coordinatorEpoch: Int32, hasOpenTransaction: Bool) {
        var state = producers[producer.id] ?? Producer()
        state.epoch = max(state.epoch, producer.epoch)
        state.coordinatorEpoch = max(state.coordinatorEpoch, coordinatorEpoch)
        state.hasOpenTransaction = hasOpenTransaction
        producers[producer.id] = state
    }

    // MARK: Forgetting

    /// Forgets producers without an open transaction that were silent for `expiration`.
    mutating func expire(now: Int64, expiration: Int64) {
        for (id, state) in producers where !state.hasOpenTransaction {
            // Time begins to count now for those that are known only from the log, and after a step of the clock.
            let lastSeen = min(state.lastSeen ?? now, now)
            producers[id]!.lastSeen = lastSeen
            if now - lastSeen >= expiration { forget(id) }
        }
    }

    /// Past the limit, forgets the half that was silent for longest, but none with an open transaction.
    private mutating func forgetIfTooMany() {
        guard producers.count > forgetsAtCount else { return }
        let silent = producers.filter { !$0.value.hasOpenTransaction }
            .sorted { ($0.value.lastSeen ?? .min, $0.value.lastEnd) < ($1.value.lastSeen ?? .min, $1.value.lastEnd) }
        let openCount = producers.count - silent.count
        for (id, _) in silent.prefix((silent.count + 1) / 2) { forget(id) }
        forgetsAtCount = GroupLimits.rememberedProducers + openCount
    }

    private mutating func forget(_ id: Int64) {
        lastForgottenEnd = max(lastForgottenEnd, producers[id]?.lastEnd ?? 0)
        producers[id] = nil
    }
}
