import NIOCore
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
        _ iterator: IteratorIdentity?, until deadline: ContinuousClock.Instant? = nil
    ) async throws(ClientError) -> ConsumerBatch? {
        try enter(iterator)
        do throws(ClientError) {
            let batch = try await findBatch(until: deadline)
            leave()
            return batch
        } catch {
            leave()
            throw error
        }
    }

    private nonisolated(nonsending) func findBatch(
        until deadline: ContinuousClock.Instant?
    ) async throws(ClientError) -> ConsumerBatch? {
        while true {
            if Task.isCancelled { return nil }
            switch find() {
            case .chunk(let taken):
                if let batch = try handOut(taken) { return batch }
            case .failure(let error): throw error
            case .end: return nil
            case .nothing:
                if let deadline, deadline <= ContinuousClock.now { return nil }
                await wait(until: deadline)
            }
        }
    }

    /// What can be had without waiting. At most `limit` batches.
    func moreBatches(_ limit: Int) -> [ConsumerBatch] {
        var batches: [ConsumerBatch] = []
        while batches.count < limit, case .chunk(let taken) = find() {
            do throws(ClientError) {
                if let batch = try handOut(taken) { batches.append(batch) }
            } catch {
                // It is met again when the application asks the next time.
                break
            }
        }
        return batches
    }

    /// The application asks: what it was given it is done with.
    private func enter(_ iterator: IteratorIdentity?) throws(ClientError) {
        let (gate, mustRejoin) = try driver.change { shared throws(ClientError) in
            if shared.application.isClosing { throw ClientError(.closed, "the consumer is closed") }
            guard !shared.application.isInside else {
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
    private func handOut(_ taken: ConsumerCore.Taken) throws(ClientError) -> ConsumerBatch? {
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
            let isGood = shared.core.didPrepare(
                taken, next: next, rest: prepared.rest, hasRecords: prepared.batch != nil)
            // From now on the application has it, and a rebalance waits.
            if isGood, prepared.batch != nil { shared.application.isInside = false }
            return (isGood, shared.core.needsStep)
        }
        if mustWake { driver.wake() }
        return isGood ? prepared.batch : nil
    }

    private nonisolated(nonsending) func wait(until deadline: ContinuousClock.Instant?) async {
        var timer: Scheduled<Void>?
        if let deadline {
            timer = driver.loop.scheduleTask(in: TimeAmount(max(.zero, ContinuousClock.now.duration(to: deadline)))) {
                [driver] in driver.wakeApplication()
            }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = driver.shared.withLock { shared in
                    if shared.isReady || Task.isCancelled { return true }
                    shared.application.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            driver.wakeApplication()
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
                guard let current = shared.application.current, shared.core.isCurrent(current.reference),
                    !current.isInterrupted.load(ordering: .relaxed), !shared.application.isClosing
                else { return nil }
                return current
            }
            if Task.isCancelled { return nil }
            if let current, let record = current.next() { return (record, current) }
            guard let batch = try await nextBatch(iterator) else { return nil }
            driver.shared.withLock { shared in
                guard let given = shared.core.handedOut.last else { return }
                shared.core.handedOut.removeAll()
                shared.application.current = CurrentRecords(batch, given.reference)
            }
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
