extension ProducerCore {
    /// Looks at everything that waits, and returns what is to be done now.
    mutating func step(now: Instant) -> ProducerActions {
        needsStep = false
        nextStep = nil
        expire(now)
        if identityIsDue(now) {
            identity = .requested
            actions.needsIdentity = true
        }
        while drain(now) {}
        askForPartitions()
        planMetadata(now)
        unlistEmpty()
        if actions.freedMemory { isExhausted = false }
        plannedStep = nextStep
        actions.nextStep = nextStep
        defer { actions = ProducerActions() }
        return actions
    }

    /// `step` is due at `time` at the latest.
    mutating func plan(_ time: Instant) {
        nextStep = nextStep.map { min($0, time) } ?? time
    }

    /// Nothing happens before `time`; false when it has come.
    private mutating func mustWait(until time: Instant?, _ now: Instant) -> Bool {
        guard let time, time > now else { return false }
        plan(time)
        return true
    }

    private mutating func identityIsDue(_ now: Instant) -> Bool {
        // Transactions get theirs when they begin.
        guard identity == .missing, !isTransactional, refusal?.isFatal != true, !listed.isEmpty else { return false }
        return !mustWait(until: identityRetryAt, now)
    }

    private mutating func expire(_ now: Instant) {
        for slot in listed {
            while let batch = partitions[slot].oldestWaiting {
                let deadline = batch.created + configuration.deliveryTimeout
                guard deadline <= now else {
                    plan(deadline)
                    break
                }
                let waited = configuration.deliveryTimeout.milliseconds
                giveUp(
                    batch,
                    ClientError(
                        .timedOut,
                        "\(partitions[slot].name): records were not acknowledged within \(waited) ms",
                        nextStep: "check the brokers, or raise delivery.timeout.ms"))
            }
        }
        for index in topics.indices {
            guard let staged = topics[index].staged else { continue }
            let deadline = staged.since + configuration.maximumBlock
            if deadline > now {
                plan(deadline)
            } else {
                failStaged(
                    index,
                    topics[index].failure
                        ?? ClientError(
                            .timedOut, "nothing is known of topic '\(topics[index].name)'",
                            nextStep: "check that a broker is reachable and that the topic exists"))
            }
        }
    }

    /// Fails a batch whose time is over.
    private mutating func giveUp(_ batch: ProducerBatch, _ error: ClientError) {
        drop(batch, error)
        failTransaction(error)
    }

    private mutating func unlistEmpty() {
        listed.removeAll { slot in
            let isEmpty = partitions[slot].isEmpty
            if isEmpty { partitions[slot].isListed = false }
            return isEmpty
        }
    }

    // MARK: Sending

    /// Makes one request for each broker that can take one. True when another round may find more.
    private mutating func drain(_ now: Instant) -> Bool {
        guard !listed.isEmpty else { return false }
        var requests: [BatchRequest] = []
        var sizes: [Int] = []
        // Not always the same partitions first.
        let start = Int(truncatingIfNeeded: generator.next() % UInt64(listed.count))
        for offset in listed.indices {
            let slot = listed[(start + offset) % listed.count]
            settle(slot)
            guard let waiting = sendable(slot, now), let node = readyNode(for: slot, now) else { continue }
            if let index = requests.firstIndex(where: { $0.node == node }) {
                guard sizes[index] + waiting <= configuration.maximumRequestSize else { continue }
                requests[index].batches.append(take(slot))
                sizes[index] += waiting
            } else {
                requests.append(
                    BatchRequest(
                        node: node, connection: nodes[node]!.connection,
                        maximumVersion: transaction?.version.maximumProduceVersion ?? 12, batches: [take(slot)]))
                sizes.append(waiting)
            }
        }
        for request in requests { nodes[request.node]!.inFlight += 1 }
        actions.requests += requests
        return !requests.isEmpty
    }

    private mutating func askForPartitions() {
        guard let slots = transaction?.takeWanted() else { return }
        actions.addPartitions = slots.map { TopicPartition(partitions[$0].topic, partitions[$0].partition) }
    }

    /// Gives a partition new numbers when a gap in its old ones is certain (KIP-360).
    private mutating func settle(_ slot: Int) {
        partitions[slot].resolve()
        if partitions[slot].isGapCertain {
            partitions[slot].needsReset = true
            if isTransactional, partitions[slot].identity == currentIdentity { failForGap(slot) }
        }
        if partitions[slot].isStuck { partitions[slot].needsReset = true }
        guard partitions[slot].needsReset || partitions[slot].isUnresolved, partitions[slot].inFlightCount == 0,
            case .known(let current) = identity
        else { return }
        if isTransactional {
            // The transaction has failed; the next one has another epoch.
            if partitions[slot].identity != current, partitions[slot].assigned.isEmpty {
                partitions[slot].restartSequences(current)
            }
            return
        }
        guard partitions[slot].needsReset else { return }
        if partitions[slot].identity != current {
            // Another partition has raised the epoch since.
            partitions[slot].restartSequences(current)
        } else if current.epoch < .max {
            let next = ProducerIdentity(id: current.id, epoch: current.epoch + 1)
            identity = .known(next)
            partitions[slot].restartSequences(next)
        } else {
            identity = .missing
            needsStep = true
        }
    }

    /// How long the batch is that may be sent of a partition now; nil when none may.
    private mutating func sendable(_ slot: Int, _ now: Instant) -> Int? {
        let queue = partitions[slot]
        if mustWait(until: queue.retryAt, now) { return nil }
        if queue.needsReset { return nil }
        // What was sent before goes alone, so that nothing overtakes it.
        if let waiting = queue.nextRetry {
            return queue.inFlightCount == 0 ? waiting.byteCount : nil
        }
        guard queue.assigned.count < configuration.maximumInFlightRequests else { return nil }
        if queue.closed.isEmpty, queue.open == nil { return nil }
        if isTransactional, !transaction!.admits(slot) { return nil }
        switch identity {
        case .notNeeded: break
        case .missing, .requested: return nil
        case .known(let current):
            if queue.isUnresolved { return nil }
            // A new epoch starts at zero, which the broker takes only after all that the old one sent.
            if queue.identity != current || !queue.isKnownToLog, !queue.assigned.isEmpty { return nil }
        }
        if let closed = queue.closed.first { return closed.byteCount }
        guard let open = queue.open else { return nil }
        if configuration.linger > .zero, !isExhausted {
            let due = open.created + configuration.linger
            // A little early, so that partitions whose batches began together go together.
            let slack = min(configuration.linger / 4, .milliseconds(1))
            if due > now + slack {
                plan(due)
                return nil
            }
        }
        return open.byteCount
    }

    /// The broker that leads a partition, when it can take a request now. If it cannot, sees to it that it will.
    private mutating func readyNode(for slot: Int, _ now: Instant) -> Int32? {
        guard let leader = partitions[slot].leader else {
            metadata.isNeeded = true
            return nil
        }
        var node = nodes[leader] ?? Node()
        defer { nodes[leader] = node }
        switch node.state {
        case .connecting:
            return nil
        case .idle:
            guard !mustWait(until: node.retryAt, now) else { return nil }
            node.state = .connecting
            node.connection += 1
            actions.connects.append((leader, node.connection))
            return nil
        case .connected:
            guard !mustWait(until: node.throttledUntil, now) else { return nil }
            return node.inFlight < configuration.maximumInFlightRequests ? leader : nil
        }
    }

    private mutating func take(_ slot: Int) -> ProducerBatch {
        let batch: ProducerBatch
        if let waiting = partitions[slot].nextRetry {
            batch = waiting
        } else {
            batch = partitions[slot].takeUnsent()
            partitions[slot].assign(batch, identity: currentIdentity)
            transaction?.willSend()
        }
        batch.stage = .inFlight
        batch.attempts += 1
        partitions[slot].inFlightCount += 1
        return batch
    }
}
