import NIOCore
import ServiceLifecycle
import Synchronization

extension Consumer {
    private enum Found {
        case chunk(ConsumerCore.Taken)
        case failure(ClientError)
        case end
        case nothing
    }

    /// What comes next; nil when the task is cancelled, the consumer is closed meanwhile, or `deadline` has passed.
    nonisolated(nonsending) func nextBatch(
        _ iterator: IteratorIdentity?, until deadline: ContinuousClock.Instant? = nil, oneByOne: Bool = false
    ) async throws(ClientError) -> ConsumerBatch? {
        try enter(iterator)
        do throws(ClientError) {
            let batch = try await findBatch(until: deadline, oneByOne: oneByOne)
            leave()
            return batch
        } catch {
            leave()
            throw error
        }
    }

    private nonisolated(nonsending) func findBatch(
        until deadline: ContinuousClock.Instant?, oneByOne: Bool
    ) async throws(ClientError) -> ConsumerBatch? {
        while true {
            if Task.isCancelled || Task.isShuttingDownGracefully { return nil }
            switch find() {
            case .chunk(let taken):
                if let batch = try handOut(taken, oneByOne: oneByOne) { return batch }
            case .failure(let error): throw error
            case .end: return nil
            case .nothing:
                if let deadline, deadline <= ContinuousClock.now { return nil }
                await wait(until: deadline)
            }
        }
    }

    /// What can be had without waiting: at most `limit` batches, and not much more than some megabytes of records.
    private func moreBatches(_ limit: Int) -> [ConsumerBatch] {
        var batches: [ConsumerBatch] = []
        var left = Self.bytesAtOnce
        // An error is for the next call.
        while batches.count < limit, left > 0,
            driver.shared.withLock({ $0.core.errors.isEmpty && $0.core.failure == nil }),
            case .chunk(let taken) = find()
        {
            do throws(ClientError) {
                if let batch = try handOut(taken, oneByOne: false) {
                    batches.append(batch)
                    left -= batch.storage.byteCount
                }
            } catch {
                // It is met again when the application asks the next time.
                break
            }
        }
        return batches
    }

    private static let bytesAtOnce = 32 << 20

    /// Several batches at once: see the public `nextBatches`.
    nonisolated(nonsending) func severalBatches(
        _ limit: Int, until deadline: ContinuousClock.Instant
    ) async throws(ClientError) -> [ConsumerBatch] {
        try enter(nil)
        defer { leave() }
        guard let first = try await findBatch(until: deadline, oneByOne: false) else { return [] }
        return [first] + moreBatches(limit - 1)
    }

    /// The application asks: what it was given it is done with.
    private func enter(_ iterator: IteratorIdentity?) throws(ClientError) {
        let (gate, mustRejoin) = try driver.change { shared throws(ClientError) in
            if shared.application.isClosing { throw ClientError(.closed, "the consumer is closed") }
            guard !shared.application.isTaking else {
                throw ClientError(.invalidState, "another task is waiting for this consumer's records")
            }
            if let other = shared.application.iterator, other !== iterator {
                throw ClientError(
                    .invalidState, "another loop over this consumer's records has not ended",
                    nextStep: "iterate in one place, or use a consumer for each")
            }
            shared.application.iterator = iterator
            shared.finishCurrent()
            shared.core.finishHandedOut()
            shared.application.isInside = true
            shared.application.isTaking = true
            shared.application.hasLostRecords = false
            shared.application.lastAsked = .now
            defer { shared.application.hasTimedOut = false }
            return (shared.application.takeGate(), shared.application.hasTimedOut)
        }
        for continuation in gate { continuation.resume() }
        if mustRejoin { membership?.polled() }
    }

    private func leave() {
        driver.shared.withLock { shared in
            shared.application.isInside = false
            shared.application.isTaking = false
            shared.application.lastAsked = .now
        }
    }

    private func find() -> Found {
        let (found, mustWake) = driver.shared.withLock { shared -> (Found, Bool) in
            if shared.application.isClosing { return (.end, false) }
            if shared.application.holders > 0 { return (.nothing, false) }
            if !shared.core.errors.isEmpty { return (.failure(shared.core.errors.removeFirst()), false) }
            if let error = shared.core.failure { return (.failure(error), false) }
            let taken = shared.core.takeChunk()
            return (taken.map { .chunk($0) } ?? .nothing, shared.core.needsStep)
        }
        if mustWake { driver.wake() }
        return found
    }

    /// Makes records of what was fetched, here in the application's task. nil when there is nothing to see in it.
    private func handOut(_ taken: ConsumerCore.Taken, oneByOne: Bool) throws(ClientError) -> ConsumerBatch? {
        let prepared: BatchPreparation.Prepared
        do throws(ClientError) {
            prepared = try preparation.prepare(taken.chunk, of: taken.name)
        } catch {
            driver.change { $0.core.didFailToPrepare(taken, now: .now) }
            throw error
        }
        let next = ConsumedOffset(
            prepared.nextOffset, leaderEpoch: prepared.leaderEpoch < 0 ? nil : prepared.leaderEpoch)
        let (isGood, mustWake) = driver.shared.withLock { shared in
            // A rebalance has begun meanwhile.
            if shared.application.holders > 0 {
                shared.core.putBack(taken)
                return (false, shared.core.needsStep)
            }
            let isGood = shared.core.didPrepare(
                taken, next: next, rest: prepared.rest, hasRecords: prepared.batch != nil)
            // From now on the application has it, and a rebalance waits.
            if isGood, let batch = prepared.batch {
                shared.application.isInside = false
                // At once: whoever commits meanwhile must not take the whole batch for handed out.
                if oneByOne, let given = shared.core.handedOut.popLast() {
                    shared.core.current = given.reference
                    shared.application.current = CurrentRecords(batch, given.reference)
                }
            }
            return (isGood, shared.core.needsStep)
        }
        if mustWake { driver.wake() }
        guard isGood, let batch = prepared.batch else { return nil }
        driver.metrics.consumed(
            records: batch.count, byteCount: taken.chunk.byteCount - (prepared.rest?.byteCount ?? 0))
        return batch
    }

    private nonisolated(nonsending) func wait(until deadline: ContinuousClock.Instant?) async {
        var timer: Scheduled<Void>?
        if let deadline {
            timer = driver.loop.scheduleTask(in: TimeAmount(max(.zero, ContinuousClock.now.duration(to: deadline)))) {
                [driver] in driver.wakeApplication()
            }
        }
        await withTaskCancellationOrGracefulShutdownHandler {
            await withCheckedContinuation { continuation in
                let isOver = self.driver.shared.withLock { shared in
                    if shared.isReady || Task.isCancelled || Task.isShuttingDownGracefully { return true }
                    shared.application.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancelOrGracefulShutdown: {
            self.driver.wakeApplication()
        }
        timer?.cancel()
    }

    // MARK: One by one

    /// The next record, from the batch at hand if there is more in it.
    nonisolated(nonsending) func nextRecord(
        _ iterator: IteratorIdentity
    ) async throws(ClientError) -> (record: ConsumerRecord, current: CurrentRecords)? {
        while true {
            let current = try driver.shared.withLock { shared throws(ClientError) -> CurrentRecords? in
                if let other = shared.application.iterator, other !== iterator {
                    throw ClientError(
                        .invalidState, "another loop over this consumer's records has not ended",
                        nextStep: "iterate in one place, or use a consumer for each")
                }
                shared.application.iterator = iterator
                guard let current = shared.application.current, shared.core.isPossessed(current.reference),
                    !current.isInterrupted.load(ordering: .relaxed), !shared.application.isClosing
                else { return nil }
                return current
            }
            // Who asks is done with the record before, also when there is no other: `nextBatch` sees to that, and ends.
            let isOver = Task.isCancelled || Task.isShuttingDownGracefully
            if !isOver, let current, let record = current.next() { return (record, current) }
            guard try await nextBatch(iterator, oneByOne: true) != nil else { return nil }
        }
    }
}

extension ConsumerDriver {
    /// Has whoever waits in `next()` look again.
    func wakeApplication() {
        let waiter = shared.withLock { shared in
            defer { shared.application.waiter = nil }
            return shared.application.waiter
        }
        waiter?.resume()
    }
}
