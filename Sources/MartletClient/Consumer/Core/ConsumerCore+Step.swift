import KafkaProtocol

extension ConsumerCore {
    /// Looks at everything and returns what is to be done now.
    mutating func step(now: Instant) -> ConsumerActions {
        needsStep = false
        nextStep = nil
        guard end == nil else { return takeActions() }
        isShortOfMemory = false
        var wanted: [Int32: [Int]] = [:]
        var full: Set<Int32> = []
        var places: [Int32: [OffsetQuestion.Entry]] = [:]
        var epochs: [Int32: [OffsetQuestion.Entry]] = [:]
        for slot in slots.indices where slots[slot].isActive {
            if let retryAt = slots[slot].retryAt, retryAt > now {
                plan(retryAt)
                continue
            }
            if slots[slot].leader == nil { metadata.isNeeded = true }
            switch slots[slot].phase {
            case .needsCommitted: askForCommitted(slot)
            case .needsOffset(let place): ask(slot, place, &places)
            case .needsValidation: ask(slot, nil, &epochs)
            case .ready: classify(slot, now, &wanted, &full)
            }
        }
        for (node, entries) in places {
            actions.questions.append(OffsetQuestion(node: node, kind: .place, entries: entries))
        }
        for (node, entries) in epochs {
            actions.questions.append(OffsetQuestion(node: node, kind: .epochEnd, entries: entries))
        }
        sources = Set(wanted.keys).union(full).union(nodes.lazy.filter { $0.value.inFlight != nil }.map(\.key)).count
        // In turn, so that none is always last where there is no room for all.
        for (node, slots) in wanted.sorted(by: { (nodes[$0.key]?.lastTurn ?? 0) < (nodes[$1.key]?.lastTurn ?? 0) }) {
            planFetch(node, slots, othersAreFull: full.contains(node), now)
        }
        planMetadata(now)
        return takeActions()
    }

    private mutating func takeActions() -> ConsumerActions {
        var taken = ConsumerActions()
        swap(&taken, &actions)
        taken.nextStep = nextStep
        return taken
    }

    private mutating func askForCommitted(_ slot: Int) {
        guard !slots[slot].isAsking else { return }
        slots[slot].isAsking = true
        actions.committed.append((reference(slot), slots[slot].name))
    }

    private mutating func ask(
        _ slot: Int, _ place: OffsetPosition?, _ entries: inout [Int32: [OffsetQuestion.Entry]]
    ) {
        guard !slots[slot].isAsking, let leader = slots[slot].leader else { return }
        slots[slot].isAsking = true
        entries[leader, default: []].append(
            OffsetQuestion.Entry(
                reference: reference(slot), name: slots[slot].name, leaderEpoch: slots[slot].leaderEpoch,
                position: place, epoch: slots[slot].fetchEpoch))
    }

    private mutating func classify(
        _ slot: Int, _ now: Instant, _ wanted: inout [Int32: [Int]], _ full: inout Set<Int32>
    ) {
        guard !slots[slot].isPaused, let node = source(slot, now) else { return }
        guard slots[slot].inFlightNode == nil else { return }
        if isFull(slot) { full.insert(node) } else { wanted[node, default: []].append(slot) }
    }

    /// The broker to fetch from.
    private mutating func source(_ slot: Int, _ now: Instant) -> Int32? {
        if let preferred = slots[slot].preferredReplica {
            if preferred.until > now { return preferred.node }
            slots[slot].preferredReplica = nil
        }
        return slots[slot].leader
    }

    // MARK: Fetches

    private mutating func planFetch(_ node: Int32, _ wanted: [Int], othersAreFull: Bool, _ now: Instant) {
        guard isConnected(node, now), nodes[node]!.inFlight == nil else { return }
        if let until = nodes[node]!.throttledUntil, until > now { return plan(until) }
        var maximumWait = configuration.fetchMaximumWait
        if othersAreFull {
            // The next fetch for the full one must not find a long one in its way.
            if let next = nodes[node]!.nextShortFetch, next > now { return plan(next) }
            let pause = min(max(nodes[node]!.shortPause * 2, Self.shortFetchPause), .milliseconds(500))
            nodes[node]!.shortPause = pause
            nodes[node]!.nextShortFetch = now + pause
            maximumWait = .zero
        } else {
            nodes[node]!.nextShortFetch = nil
            nodes[node]!.shortPause = .zero
        }
        let overhead = wanted.reduce(Self.replyOverhead) {
            $0 + Self.partitionOverhead + slots[$1].name.topic.utf8.count
        }
        guard let (maximumBytes, reserved) = room(for: wanted.count, overhead: overhead) else {
            isShortOfMemory = true
            return
        }
        let ordered = wanted.sorted { slots[$0].lastTurn < slots[$1].lastTurn }
        let usesIds = ordered.allSatisfy { slots[$0].topicId != .zero }
        let entries = ordered.map { slot in
            FetchPlan.Entry(
                reference: reference(slot), name: slots[slot].name, topicId: slots[slot].topicId,
                offset: slots[slot].fetchOffset, leaderEpoch: slots[slot].leaderEpoch)
        }
        let session = nodes[node]!.session.next(
            entries.map {
                (
                    $0.name,
                    FetchSessionState.Wanted(topicId: $0.topicId, offset: $0.offset, leaderEpoch: $0.leaderEpoch)
                )
            }, usesIds: usesIds)
        for slot in ordered { slots[slot].inFlightNode = node }
        turns += 1
        nodes[node]!.lastTurn = turns
        nodes[node]!.inFlight = entries.map(\.reference)
        nodes[node]!.reserved = reserved
        reservedBytes += reserved
        actions.fetches.append(
            FetchPlan(
                node: node, connection: nodes[node]!.connection, session: session,
                forgottenIds: nodes[node]!.session.forgottenIds, usesIds: usesIds, entries: entries,
                maximumBytes: maximumBytes, maximumWait: maximumWait))
    }

    /// What a reply has beside records, about: in all, and for each partition but for its topic's name.
    private static let replyOverhead = 64
    private static let partitionOverhead = 64

    /// How many bytes of records a fetch may bring, and the memory that this takes; nil when what waits and is on its way
    /// must become less before.
    private mutating func room(for count: Int, overhead: Int) -> (payload: Int, reserved: Int)? {
        let partition = configuration.maximumPartitionFetchBytes
        // All fetches together leave half of the memory to what waits: one that brings nothing must keep no other from
        // being sent.
        let share = FetchedFrame.payload(
            byteCount: configuration.prefetchMemory / (2 * max(1, sources)), overhead: overhead)
        let wanted = min(configuration.fetchMaximumBytes, count * partition, share)
        let needed = min(wanted, partition)
        let least = FetchedFrame.byteCount(payload: needed, overhead: overhead)
        if memoryLeft < least {
            dropPaused()
            guard memoryLeft >= least || (bufferedBytes == 0 && reservedBytes == 0) else { return nil }
        }
        let payload = min(wanted, max(FetchedFrame.payload(byteCount: memoryLeft, overhead: overhead), needed))
        return (payload, FetchedFrame.byteCount(payload: payload, overhead: overhead))
    }

    private var memoryLeft: Int { configuration.prefetchMemory - bufferedBytes - reservedBytes }

    /// Room is needed, and records of paused partitions, which nobody asks for, take it.
    private mutating func dropPaused() {
        for slot in slots.indices where slots[slot].isPaused && slots[slot].hasRecords {
            guard let position = slots[slot].position else { continue }
            rewind(slot, to: position)
        }
    }

    /// Whether there is a connection; one is asked for when there is none.
    private mutating func isConnected(_ node: Int32, _ now: Instant) -> Bool {
        let state = nodes[node, default: Node()]
        nodes[node] = state
        switch state.state {
        case .connected: return true
        case .connecting: return false
        case .idle:
            if let retryAt = state.retryAt, retryAt > now {
                plan(retryAt)
                return false
            }
            nodes[node]!.state = .connecting
            nodes[node]!.connection += 1
            actions.connects.append((node, nodes[node]!.connection))
            return false
        }
    }

    // MARK: Metadata

    private mutating func planMetadata(_ now: Instant) {
        guard !index.isEmpty, !metadata.isAsking else { return }
        if let last = metadata.last {
            let due = last + configuration.metadataMaximumAge
            if due <= now { metadata.isNeeded = true } else { plan(due) }
        }
        guard metadata.isNeeded else { return }
        if let retryAt = metadata.retryAt, retryAt > now { return plan(retryAt) }
        metadata.isNeeded = false
        metadata.isAsking = true
        actions.metadata = Set(index.keys.map(\.topic)).sorted()
    }
}
