extension ConsumerCore {
    /// Where a partition begins.
    enum Start: Sendable, Equatable {
        /// Where the group has committed, or else as `offsetReset` says.
        case committed
        case place(OffsetPosition)
        case offset(ConsumedOffset)
        /// As `offsetReset` says.
        case reset
    }

    /// The partitions that are assigned.
    var assignment: [TopicPartition] { Array(index.keys) }

    /// Adds a partition that was not assigned.
    mutating func add(_ name: TopicPartition, _ start: Start) {
        guard index[name] == nil else { return }
        let state = PartitionState(name: name, generation: nextGeneration(), phase: .needsCommitted)
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot] = state
        } else {
            slot = slots.count
            slots.append(state)
        }
        index[name] = slot
        begin(slot, start)
        metadata.isNeeded = true
        if metadata.failures == 0 { metadata.retryAt = nil }
        needsStep = true
    }

    /// Takes partitions away.
    mutating func remove(_ names: some Sequence<TopicPartition>) {
        for name in names {
            guard let slot = index.removeValue(forKey: name) else { continue }
            invalidate(slot)
            slots[slot].possession = nextGeneration()
            slots[slot].isAssigned = false
            queue.removeSubrange(..<queueHead)
            queueHead = 0
            queue.removeAll { $0 == slot }
            slots[slot].isQueued = false
            free.append(slot)
        }
        needsStep = true
    }

    /// Partitions are about to go: nothing of them is handed out any more.
    mutating func setLeaving(_ names: some Sequence<TopicPartition>) {
        for name in names {
            guard let slot = index[name] else { continue }
            slots[slot].isLeaving = true
            clear(slot)
        }
        needsStep = true
    }

    mutating func setPaused(_ isPaused: Bool, _ slot: Int) {
        slots[slot].isPaused = isPaused
        if !isPaused { enqueue(slot) }
        needsStep = true
    }

    /// Moves a partition. What the application has of it does not count any more.
    mutating func seek(_ slot: Int, _ start: Start) {
        invalidate(slot)
        slots[slot].possession = nextGeneration()
        begin(slot, start)
    }

    mutating func begin(_ slot: Int, _ start: Start) {
        slots[slot].position = nil
        slots[slot].done = nil
        slots[slot].validatedEpoch = -1
        switch start {
        case .committed: slots[slot].phase = .needsCommitted
        case .place(let place): slots[slot].phase = .needsOffset(place)
        case .offset(let offset): setPosition(slot, offset)
        case .reset: reset(slot, nil)
        }
    }

    /// The position is known, from elsewhere than a fetch.
    mutating func setPosition(_ slot: Int, _ start: ConsumedOffset) {
        slots[slot].position = start.offset
        slots[slot].positionEpoch = start.leaderEpoch ?? -1
        slots[slot].done = start
        slots[slot].fetchOffset = start.offset
        slots[slot].fetchEpoch = start.leaderEpoch ?? -1
        slots[slot].phase = .ready
        slots[slot].isAsking = false
        slots[slot].failures = 0
        slots[slot].retryAt = nil
        checkEpoch(slot)
        needsStep = true
    }

    /// What was read in an earlier leader's time must be compared with what the present one has.
    mutating func checkEpoch(_ slot: Int) {
        let state = slots[slot]
        guard state.phase == .ready, state.fetchEpoch >= 0, state.leaderEpoch > state.fetchEpoch,
            state.validatedEpoch != state.leaderEpoch
        else { return }
        slots[slot].phase = .needsValidation
        slots[slot].isAsking = false
    }

    /// The position is of no use: goes on as `offsetReset` says. `error` is what happens without it.
    mutating func reset(_ slot: Int, _ error: ClientError?) {
        let place: OffsetPosition
        switch configuration.offsetReset {
        case .earliest: place = .earliest
        case .latest: place = .latest
        case .none:
            let name = slots[slot].name
            slots[slot].failure =
                error
                ?? ClientError(
                    .noOffset, "\(name) has no position: nothing is committed and offsetReset is none",
                    nextStep: "seek, or set offsetReset (auto.offset.reset)")
            return
        }
        if let error { actions.notes.append(("consumer.offset.reset", slots[slot].name, error.message)) }
        clear(slot)
        slots[slot].generation = nextGeneration()
        slots[slot].possession = slots[slot].generation
        slots[slot].phase = .needsOffset(place)
        slots[slot].position = nil
        slots[slot].isAsking = false
        slots[slot].retryAt = nil
        needsStep = true
    }
}
