import Synchronization

/// Who waits for a partition to move on.
extension PartitionLeader {
    package enum WaitOutcome: Sendable, Equatable {
        /// The waiter will be woken.
        case waiting
        /// There is nothing to wait for any more.
        case over(WaitResult)
    }

    /// Registers the waiter, unless its offset is reached already or never will be.
    package func wait(_ waiter: PartitionWaiter) -> WaitOutcome {
        waiting.withLock { waiting in
            if let ended = waiting.ended { return .over(ended) }
            waiting.waiters.append(waiter)
            // Sequentially consistent on both sides: either this sees the new watermark, or `advance` sees the waiter.
            waiterCount.store(waiting.waiters.count, ordering: .sequentiallyConsistent)
            guard watermark.load(ordering: .sequentiallyConsistent) >= waiter.offset else { return .waiting }
            waiting.waiters.removeLast()
            waiterCount.store(waiting.waiters.count, ordering: .sequentiallyConsistent)
            return .over(reached)
        }
    }

    /// As `wait`, for the log's end: a follower is sent what is not committed yet.
    package func waitForAppend(_ waiter: PartitionWaiter) -> WaitOutcome {
        waiting.withLock { waiting in
            if let ended = waiting.ended { return .over(ended) }
            waiting.replicaWaiters.append(waiter)
            replicaWaiterCount.store(waiting.replicaWaiters.count, ordering: .sequentiallyConsistent)
            guard log.endOffset >= waiter.offset else { return .waiting }
            waiting.replicaWaiters.removeLast()
            replicaWaiterCount.store(waiting.replicaWaiters.count, ordering: .sequentiallyConsistent)
            return .over(.reached)
        }
    }

    /// As `wait`, but for stable storage, also where the topic's durability does not ask for it.
    package func waitUntilDurable(_ waiter: PartitionWaiter) -> WaitOutcome {
        let outcome = waiting.withLock { waiting -> WaitOutcome in
            if let ended = waiting.ended { return .over(ended) }
            // A sync that ends after this look finds the waiter: it takes the same lock.
            if log.durableOffset >= waiter.offset { return .over(.reached) }
            waiting.durabilityWaiters.append(waiter)
            return .waiting
        }
        if case .waiting = outcome { synchronizer.request(log, upTo: waiter.offset) }
        return outcome
    }

    /// Forgets what a listener's connection and slot waited for.
    package func stopWaiting(_ listener: any PartitionListener, connection: UInt64, slot: UInt64) {
        func isWanted(_ waiter: PartitionWaiter) -> Bool {
            waiter.listener === listener && waiter.connection == connection && waiter.slot == slot
        }
        waiting.withLock { waiting in
            waiting.waiters.removeAll(where: isWanted)
            waiterCount.store(waiting.waiters.count, ordering: .sequentiallyConsistent)
            guard !waiting.replicaWaiters.isEmpty else { return }
            waiting.replicaWaiters.removeAll(where: isWanted)
            replicaWaiterCount.store(waiting.replicaWaiters.count, ordering: .sequentiallyConsistent)
        }
    }

    private var reached: WaitResult {
        inSyncCount < minimumInSyncReplicas ? .reachedWithTooFewReplicas : .reached
    }

    func advance(to offset: Int64) {
        // Before the watermark, or who reads both would see the new one with the last stable offset of the old, and wait
        // for records that are there.
        log.updateHighWatermark(offset)
        var current = watermark.load(ordering: .relaxed)
        while current < offset {
            let (exchanged, original) = watermark.weakCompareExchange(
                expected: current, desired: offset, ordering: .sequentiallyConsistent)
            if exchanged { break }
            current = original
        }
        guard waiterCount.load(ordering: .sequentiallyConsistent) > 0 else { return }
        let watermark = highWatermark
        let result = reached
        let woken = waiting.withLock { waiting in
            var taken: [PartitionWaiter] = []
            waiting.waiters.removeAll { waiter in
                guard waiter.offset <= watermark else { return false }
                taken.append(waiter)
                return true
            }
            waiterCount.store(waiting.waiters.count, ordering: .sequentiallyConsistent)
            return taken
        }
        for waiter in woken { waiter.listener.wake(waiter, result) }
    }

    func wakeReplicas(upTo end: Int64) {
        let woken = waiting.withLock { waiting in
            var taken: [PartitionWaiter] = []
            waiting.replicaWaiters.removeAll { waiter in
                guard waiter.offset <= end else { return false }
                taken.append(waiter)
                return true
            }
            replicaWaiterCount.store(waiting.replicaWaiters.count, ordering: .sequentiallyConsistent)
            return taken
        }
        for waiter in woken { waiter.listener.wake(waiter, .reached) }
    }

    /// How many wait here, for tests and diagnosis.
    package var waiterTotal: Int { waiting.withLock { $0.waiters.count } }
}
