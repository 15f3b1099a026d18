import Synchronization

/// The application's side of a consumer: whether it waits for records, what it holds, and who holds records back while
/// partitions move.
struct ApplicationState: Sendable {
    /// The task in `next()` that nothing can be given to yet.
    var waiter: CheckedContinuation<Void, Never>?
    /// Whether the application is asking for records at this moment.
    var isInside = false
    /// A call for records is under way, even though it has some already.
    var isTaking = false
    /// Whose turn it is to ask.
    weak var iterator: IteratorIdentity?
    /// Records that are handed out one by one.
    var current: CurrentRecords?
    var lastAsked = ContinuousClock.now
    /// It has not asked for longer than `max.poll.interval.ms`.
    var hasTimedOut = false
    /// The group has given up the member while the application held records: nothing may be committed for them in the name of
    /// the member that it becomes again, whose partitions begin where the group stood before.
    var hasLostRecords = false
    /// Rebalances that are under way: nothing is handed out.
    var holders = 0
    /// Rebalances that wait for the application to ask.
    var gate: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextGateNumber: UInt64 = 0
    var isClosing = false
    /// The application waits for its group to be left.
    var isUnsubscribing = false

    /// A rebalance needs not wait for the application.
    var isAside: Bool { isInside || hasTimedOut || isClosing || isUnsubscribing }

    mutating func takeGate() -> [CheckedContinuation<Void, Never>] {
        defer { gate = [:] }
        return Array(gate.values)
    }
}

/// Of a loop over a consumer's records.
final class IteratorIdentity: Sendable {}

/// A batch whose records are handed out one by one. One task iterates; others may see how far it is.
final class CurrentRecords: @unchecked Sendable {
    let topicPartition: TopicPartition
    let reference: PartitionReference
    private let batch: ConsumerBatch
    private var records: ConsumerBatch.Iterator
    /// After the last record that was handed out.
    let handedOut: Atomic<Int64>
    /// After the last record that the application is done with.
    let done: Atomic<Int64>
    /// The rest is not to be handed out without looking at the consumer first.
    let isInterrupted = Atomic(false)

    init(_ batch: ConsumerBatch, _ reference: PartitionReference) {
        self.batch = batch
        self.reference = reference
        topicPartition = batch.topicPartition
        records = batch.makeIterator()
        handedOut = Atomic(batch.firstOffset)
        done = Atomic(batch.firstOffset)
    }

    var leaderEpoch: Int32? { batch.leaderEpoch }
    var consumedOffset: ConsumedOffset { batch.consumedOffset }
    /// All records were handed out.
    var isExhausted: Bool { handedOut.load(ordering: .relaxed) > batch.lastOffset }

    @inline(__always)
    func next() -> ConsumerRecord? {
        guard !isInterrupted.load(ordering: .relaxed), let record = records.next() else { return nil }
        done.store(record.offset, ordering: .relaxed)
        handedOut.store(record.offset + 1, ordering: .relaxed)
        return record
    }
}

extension ConsumerDriver.Shared {
    /// Whether whoever waits in `next()` has something to do.
    var isReady: Bool {
        application.isClosing
            || (application.holders == 0 && (!core.errors.isEmpty || core.hasRecords || core.failure != nil))
    }

    mutating func takeReadyWaiter() -> CheckedContinuation<Void, Never>? {
        guard application.waiter != nil, isReady else { return nil }
        defer { application.waiter = nil }
        return application.waiter
    }

    /// Where the application is done with each partition. Those without news since their position was learned are there
    /// too.
    var done: [TopicPartition: ConsumedOffset] {
        var offsets: [TopicPartition: ConsumedOffset] = [:]
        for (name, slot) in core.index { offsets[name] = core.slots[slot].done }
        if let current = application.current, core.isPossessed(current.reference) {
            let epoch = core.slots[current.reference.slot].done?.leaderEpoch
            let done = current.done.load(ordering: .relaxed)
            if done > offsets[current.topicPartition]?.offset ?? -1 {
                offsets[current.topicPartition] = ConsumedOffset(done, leaderEpoch: epoch)
            }
        }
        return offsets
    }

    /// After what the application was given.
    var positions: [TopicPartition: ConsumedOffset] {
        var offsets: [TopicPartition: ConsumedOffset] = [:]
        for (name, slot) in core.index {
            let state = core.slots[slot]
            guard let position = state.position else { continue }
            offsets[name] = ConsumedOffset(
                position, leaderEpoch: state.positionEpoch < 0 ? nil : state.positionEpoch)
        }
        if let current = application.current, core.isPossessed(current.reference) {
            offsets[current.topicPartition] = ConsumedOffset(
                current.handedOut.load(ordering: .relaxed), leaderEpoch: current.leaderEpoch)
        }
        return offsets
    }
}

extension ConsumerDriver.Shared {
    /// The application asks for more than the batch whose records it was given one by one, or has lost it.
    mutating func finishCurrent() {
        guard let current = application.current else { return }
        application.current = nil
        core.current = nil
        guard core.isPossessed(current.reference) else { return }
        let slot = current.reference.slot
        if current.isExhausted {
            core.slots[slot].done = current.consumedOffset
        } else {
            // The rest comes again.
            let next = current.handedOut.load(ordering: .relaxed)
            core.slots[slot].done = ConsumedOffset(next, leaderEpoch: current.leaderEpoch)
            core.rewind(slot, to: next)
        }
    }

    /// Has the application ask for records before it goes on with those of the batch at hand.
    func interruptCurrent() {
        application.current?.isInterrupted.store(true, ordering: .relaxed)
    }

    /// The application has records that it is not known to be done with.
    var applicationHoldsRecords: Bool { application.current != nil || !core.handedOut.isEmpty }
}
