import CommitLog
import KafkaProtocol
import RecordFormat
import Replication

/// One event loop's share of the broker: the appends that it collects in a tick, the requests that wait on its
/// connections, and its scratch memory.
///
/// Confined to its thread. `@unchecked Sendable` because other threads hold it to post to it: they touch nothing but
/// `port`, which is thread-safe.
package final class BrokerLoop: @unchecked Sendable {
    package let broker: Broker
    package let port: any EventLoopPort
    package let metrics: LoopMetrics
    let validator: RecordBatchValidator

    private var connections: [UInt64: Connection] = [:]
    private var touched: [Connection] = []
    /// Connections that closed in this tick.
    private var departed: [Connection] = []
    private var deadlines = DeadlineQueue()
    /// When the port will next call `checkDeadlines`; nil when it will not.
    private var nextCheck: Int64?

    // This tick's appends, a queue for each partition that has some.
    private var queues: [AppendQueue] = []
    private var activeQueues = 0
    /// Partition ordinal → its queue in this tick, or -1.
    private var queueOfPartition: [Int32] = []
    /// Batches that were rewritten, kept until they are written.
    private var rewritten: [RewrittenBatch] = []
    /// Used by the produce handler while it reads one request.
    var staged: [ProduceHandler.Staged] = []
    private var wokenFetches: [(connection: UInt64, slot: UInt64)] = []
    private var gathering = ReplicaGathering()
    /// Requests with acks=all that wait for followers, or for a sync.
    var pendingProduces = 0

    private var isInTick = false
    private var isEndScheduled = false
    /// The times at which this tick began; read once, used by all its requests.
    private(set) var wallMilliseconds: Int64 = 0
    private(set) var tickStart: Int64 = 0
    private var topicTable: TopicTable
    private var topicGeneration = 0

    package init(broker: Broker, port: any EventLoopPort) {
        self.broker = broker
        self.port = port
        metrics = LoopMetrics()
        validator = RecordBatchValidator(decompressedLimit: broker.limits.decompressedBatchBytes)
        (topicTable, topicGeneration) = broker.currentTopics()
        broker.metrics.add(metrics)
    }

    // MARK: Connections

    package func add(_ connection: Connection) {
        connections[connection.id] = connection
    }

    func remove(_ connection: Connection) {
        connections[connection.id] = nil
        // Its batches may still wait for the tick's end, and name it without holding it.
        departed.append(connection)
        beginTick()
    }

    func connection(_ id: UInt64) -> Connection? { connections[id] }

    package func stopTakingRequests() {
        for connection in connections.values { connection.sink.stopReading() }
    }

    package func closeConnections() {
        endTick()
        for connection in connections.values { connection.sink.close() }
    }

    /// Closes connections without traffic. One that waits for a reply is not idle: a group member may wait long.
    package func closeIdleConnections() {
        let limit = broker.limits.idleMilliseconds
        guard limit >= 0 else { return }
        for connection in connections.values
        where connection.waitingReplies == 0 && connection.sink.isIdle(forMilliseconds: limit) {
            connection.sink.close()
        }
    }

    // MARK: The tick

    /// The topics as this loop sees them: one relaxed load when nothing changed.
    var topics: TopicTable {
        if broker.topicGeneration != topicGeneration {
            (topicTable, topicGeneration) = broker.currentTopics()
        }
        return topicTable
    }

    /// Before a request or a completion is handled: takes the time, and makes sure that the tick ends.
    package func beginTick() {
        if !isInTick {
            isInTick = true
            wallMilliseconds = broker.clock.wallMilliseconds
            tickStart = broker.clock.monotonicNanoseconds
        }
        if !isEndScheduled {
            isEndScheduled = true
            port.execute { [self] in endTick() }
        }
    }

    /// The connection has something to send.
    func touch(_ connection: Connection) {
        beginTick()
        guard !connection.isTouched else { return }
        connection.isTouched = true
        touched.append(connection)
    }

    /// Writes what the tick collected and sends the replies.
    package func endTick() {
        isEndScheduled = false
        // Those that close from here on may have begun appends of the next tick.
        let leaving = departed
        departed.removeAll()
        defer { withExtendedLifetime(leaving) {} }
        if activeQueues > 0 { gathering.appended() }
        flushAppends()
        for (id, slot) in gathering.take() { withFetch(id, slot) { $0.retry(connection: $1, slot: slot) } }
        while !wokenFetches.isEmpty {
            let woken = wokenFetches
            wokenFetches.removeAll(keepingCapacity: true)
            for (id, slot) in woken {
                withFetch(id, slot) { fetch, connection in
                    if !gather(fetch, connection: id, slot: slot) { fetch.retry(connection: connection, slot: slot) }
                }
            }
        }
        let sending = touched
        touched.removeAll(keepingCapacity: true)
        for connection in sending {
            connection.isTouched = false
            connection.flush()
        }
        metrics.endTick(nanoseconds: broker.clock.monotonicNanoseconds - tickStart)
        isInTick = false
        // Sending may have made room for requests that were waiting in memory.
        if !touched.isEmpty { beginTick() }
    }

    // MARK: Appends

    /// Queues a batch for the tick's end. The bytes must stay where they are until then.
    func enqueue(_ append: PendingAppend, to leader: PartitionLeader, origin: AppendOrigin) {
        let ordinal = leader.ordinal
        if ordinal >= queueOfPartition.count {
            queueOfPartition.append(
                contentsOf: repeatElement(-1, count: ordinal + 64 - queueOfPartition.count))
        }
        var index = Int(queueOfPartition[ordinal])
        if index < 0 {
            index = activeQueues
            activeQueues += 1
            queueOfPartition[ordinal] = Int32(index)
            if index == queues.count {
                queues.append(AppendQueue())
            }
            queues[index].leader = leader
        }
        queues[index].appends.append(append)
        queues[index].origins.append(origin)
    }

    func keep(_ batch: RewrittenBatch) {
        rewritten.append(batch)
    }

    var hasPendingAppends: Bool { activeQueues > 0 }

    /// One write for each partition that has appends in this tick.
    func flushAppends() {
        guard activeQueues > 0 else { return }
        for index in 0..<activeQueues {
            let queue = queues[index]
            let leader = queue.leader!
            leader.append(&queue.appends, now: wallMilliseconds)
            for (append, origin) in zip(queue.appends, queue.origins) {
                ProduceCompletion.finish(append, origin, leader: leader, loop: self)
            }
            queueOfPartition[leader.ordinal] = -1
            queue.reset()
        }
        activeQueues = 0
        rewritten.removeAll(keepingCapacity: true)
    }

    // MARK: Waiting requests

    private func withFetch(_ connection: UInt64, _ slot: UInt64, _ body: (PendingFetch, Connection) -> Void) {
        guard let connection = connections[connection], case .fetch(let fetch) = connection.state(of: slot) else {
            return
        }
        body(fetch, connection)
    }

    /// Whether a follower's fetch that has something to bring is held back; it is tried again in a moment then.
    private func gather(_ fetch: PendingFetch, connection: UInt64, slot: UInt64) -> Bool {
        guard fetch.isReplicas else { return false }
        if fetch.isGathering { return true }
        guard pendingProduces >= ReplicaGathering.leastProduces else { return false }
        fetch.isGathering = true
        if gathering.add(connection: connection, slot: slot, now: tickStart) { scheduleGathering() }
        return true
    }

    private func scheduleGathering() {
        port.schedule(afterNanoseconds: ReplicaGathering.quietNanoseconds) { [self] in
            if gathering.isOver(now: broker.clock.monotonicNanoseconds) { beginTick() } else { scheduleGathering() }
        }
    }

    func setDeadline(_ time: Int64, connection: UInt64, slot: UInt64) {
        if deadlines.wantsSweep {
            deadlines.sweep { connections[$0.connection]?.state(of: $0.slot) == nil }
        }
        deadlines.insert(DeadlineQueue.Entry(time: time, connection: connection, slot: slot))
        scheduleCheck()
    }

    private func scheduleCheck() {
        guard let next = deadlines.next, nextCheck == nil || next < nextCheck! else { return }
        nextCheck = next
        port.schedule(afterNanoseconds: max(1_000_000, next - broker.clock.monotonicNanoseconds)) { [self] in
            nextCheck = nil
            checkDeadlines()
        }
    }

    private func checkDeadlines() {
        let now = broker.clock.monotonicNanoseconds
        while let entry = deadlines.popExpired(now: now) {
            guard let connection = connections[entry.connection], let state = connection.state(of: entry.slot) else {
                continue
            }
            beginTick()
            switch state {
            case .fetch(let fetch):
                fetch.retry(connection: connection, slot: entry.slot, isLastTry: true)
            case .produce(let produce):
                produce.timeOut(connection: connection, slot: entry.slot)
            case .elsewhere, .ready:
                break
            }
        }
        scheduleCheck()
    }

    private func handleWake(_ waiter: PartitionWaiter, _ result: WaitResult) {
        guard let connection = connections[waiter.connection], let state = connection.state(of: waiter.slot) else {
            return
        }
        beginTick()
        switch state {
        case .produce(let produce):
            produce.reached(waiter.index, result, connection: connection, slot: waiter.slot)
        case .fetch:
            wokenFetches.append((waiter.connection, waiter.slot))
        case .elsewhere, .ready:
            break
        }
    }
}

extension BrokerLoop: PartitionListener {
    package func wake(_ waiter: PartitionWaiter, _ result: WaitResult) {
        if port.isCurrent {
            handleWake(waiter, result)
        } else {
            port.execute { [self] in handleWake(waiter, result) }
        }
    }
}

/// The batches for one partition that a tick collected. Reused: a queue keeps its memory.
final class AppendQueue {
    var leader: PartitionLeader?
    var appends: [PendingAppend] = []
    var origins: [AppendOrigin] = []

    func reset() {
        leader = nil
        appends.removeAll(keepingCapacity: true)
        origins.removeAll(keepingCapacity: true)
    }
}
