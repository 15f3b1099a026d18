import KafkaProtocol
import Synchronization

/// One partition that a fetch asks for, from the request or remembered by its session.
struct FetchPartition: Sendable {
    var topicName: String
    var topicId: Uuid
    var partition: Int32
    var fetchOffset: Int64
    var maxBytes: Int32
    var currentLeaderEpoch: Int32
    var lastFetchedEpoch: Int32

    // What the client was told last; a partition is left out of an incremental reply when nothing of it changed.
    var knownHighWatermark: Int64 = -1
    var knownLogStartOffset: Int64 = -1
    var wasToldAnError = false
}

struct FetchPartitionKey: Hashable, Sendable {
    var topicName: String
    var topicId: Uuid
    var partition: Int32
}

extension FetchPartition {
    var key: FetchPartitionKey { FetchPartitionKey(topicName: topicName, topicId: topicId, partition: partition) }
}

/// What a consumer fetches again and again, remembered so that it need not say it each time (KIP-227).
final class FetchSession: Sendable {
    struct State: Sendable {
        /// In the order in which they are served: partitions that gave data go to the end.
        var partitions: [FetchPartition] = []
        var places: [FetchPartitionKey: Int] = [:]
        /// The epoch that the next request must carry.
        var epoch: Int32 = 1
        /// Whether its requests name topics by id.
        var usesTopicIds = false
    }

    let id: Int32
    let state: Mutex<State>

    init(id: Int32, partitions: [FetchPartition], usesTopicIds: Bool) {
        self.id = id
        var state = State()
        state.usesTopicIds = usesTopicIds
        for partition in partitions { state.update(partition) }
        self.state = Mutex(state)
    }

    /// 1, 2, … Int32.max, 1: 0 and -1 have a meaning of their own.
    static func epoch(after epoch: Int32) -> Int32 {
        epoch == Int32.max ? 1 : epoch + 1
    }
}

extension FetchSession.State {
    mutating func update(_ partition: FetchPartition) {
        if let place = places[partition.key] {
            partitions[place].fetchOffset = partition.fetchOffset
            partitions[place].maxBytes = partition.maxBytes
            partitions[place].currentLeaderEpoch = partition.currentLeaderEpoch
            partitions[place].lastFetchedEpoch = partition.lastFetchedEpoch
        } else {
            places[partition.key] = partitions.count
            partitions.append(partition)
        }
    }

    mutating func forget(_ keys: [FetchPartitionKey]) {
        let forgotten = Set(keys)
        guard !forgotten.isEmpty else { return }
        partitions.removeAll { forgotten.contains($0.key) }
        index()
    }

    /// Notes what a reply said, and moves the partitions that gave data behind the others.
    mutating func answered(_ told: [FetchPartition], withData: Set<FetchPartitionKey>) {
        for partition in told {
            guard let place = places[partition.key] else { continue }
            partitions[place].knownHighWatermark = partition.knownHighWatermark
            partitions[place].knownLogStartOffset = partition.knownLogStartOffset
            partitions[place].wasToldAnError = partition.wasToldAnError
        }
        if !withData.isEmpty && withData.count < partitions.count {
            partitions =
                partitions.filter { !withData.contains($0.key) } + partitions.filter { withData.contains($0.key) }
            index()
        }
    }

    private mutating func index() {
        places.removeAll(keepingCapacity: true)
        for (place, partition) in partitions.enumerated() { places[partition.key] = place }
    }
}

/// The sessions of all clients, at most `slots` of them.
final class FetchSessionCache: Sendable {
    private struct Entry {
        var session: FetchSession
        /// Monotonic nanoseconds.
        var lastUsed: Int64
    }

    /// A session that was used more recently than this is not given up for a new one.
    private static let evictionAge: Int64 = 120_000_000_000

    private let slots: Int
    private let environment: BrokerEnvironment
    private let entries = Mutex<[Int32: Entry]>([:])

    init(slots: Int, environment: BrokerEnvironment) {
        self.slots = slots
        self.environment = environment
    }

    /// nil when there is no room: the client then sends full requests.
    func make(_ partitions: [FetchPartition], usesTopicIds: Bool, now: Int64) -> FetchSession? {
        entries.withLock { entries in
            if entries.count >= slots {
                guard let oldest = entries.min(by: { $0.value.lastUsed < $1.value.lastUsed }),
                    now - oldest.value.lastUsed > FetchSessionCache.evictionAge
                else { return nil }
                entries[oldest.key] = nil
            }
            var generator = environment.generator
            var id: Int32
            repeat {
                id = Int32.random(in: 1...Int32.max, using: &generator)
            } while entries[id] != nil
            let session = FetchSession(id: id, partitions: partitions, usesTopicIds: usesTopicIds)
            entries[id] = Entry(session: session, lastUsed: now)
            return session
        }
    }

    func session(_ id: Int32, now: Int64) -> FetchSession? {
        entries.withLock { entries in
            entries[id]?.lastUsed = now
            return entries[id]?.session
        }
    }

    func remove(_ id: Int32) {
        entries.withLock { $0[id] = nil }
    }
}

extension Broker {
    /// The partitions that a fetch session asks for; none when there is no such session.
    package func partitions(
        ofFetchSession id: Int32
    ) -> [(topicName: String, topicId: Uuid, partition: Int32)] {
        let session = fetchSessions.session(id, now: clock.monotonicNanoseconds)
        return session?.state.withLock { state in
            state.partitions.map { ($0.topicName, $0.topicId, $0.partition) }
        } ?? []
    }
}
