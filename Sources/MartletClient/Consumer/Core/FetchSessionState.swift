import KafkaProtocol

/// What a broker remembers of a client's last fetch, so that the next one names only what has changed (KIP-227).
struct FetchSessionState: Sendable {
    /// What a fetch asks of a partition.
    struct Wanted: Equatable, Sendable {
        let topicId: Uuid
        let offset: Int64
        let leaderEpoch: Int32
    }

    /// What a request says.
    struct Request: Equatable, Sendable {
        var id: Int32
        var epoch: Int32
        /// In turn.
        var partitions: [TopicPartition]
        var forgotten: [TopicPartition] = []
    }

    private var id: Int32 = 0
    /// Of the next request: 0 for one that begins a session.
    private var epoch: Int32 = 0
    private(set) var known: [TopicPartition: Wanted] = [:]
    private var usesIds = false

    /// The request for `wanted`, which the session takes over as known.
    mutating func next(_ wanted: [(name: TopicPartition, wanted: Wanted)], usesIds: Bool) -> Request {
        if usesIds != self.usesIds {
            restart()
            self.usesIds = usesIds
        }
        if epoch == 0 {
            known = [:]
            for (name, state) in wanted { known[name] = state }
            return Request(id: id, epoch: 0, partitions: wanted.map(\.name))
        }
        var request = Request(id: id, epoch: epoch, partitions: [])
        var kept: [TopicPartition: Wanted] = [:]
        kept.reserveCapacity(wanted.count)
        for (name, state) in wanted {
            if known[name] != state { request.partitions.append(name) }
            kept[name] = state
        }
        if kept.count != known.count || !request.partitions.isEmpty {
            for (name, state) in known {
                // A topic that was made anew under the same name is another one to the session.
                if let now = kept[name], now.topicId == state.topicId { continue }
                request.forgotten.append(name)
            }
        }
        // Of a topic made anew only the new id could be named; the session begins again.
        if request.forgotten.contains(where: { kept[$0] != nil }) {
            restart()
            return next(wanted, usesIds: usesIds)
        }
        forgottenIds = Dictionary(
            request.forgotten.map { ($0.topic, known[$0]?.topicId ?? .zero) }, uniquingKeysWith: { first, _ in first })
        known = kept
        return request
    }

    /// The ids of topics that the last request forgets.
    private(set) var forgottenIds: [String: Uuid] = [:]

    /// The broker has answered the last request.
    mutating func didReceive(sessionId: Int32) {
        if sessionId == 0 {
            // The broker keeps none: each request says everything.
            (id, epoch) = (0, 0)
        } else {
            id = sessionId
            epoch = epoch == .max ? 1 : epoch + 1
        }
    }

    /// The broker does not know the session, or it is not known what it has got: the next request begins another and ends
    /// this one.
    mutating func restart(isUnknown: Bool = false) {
        if isUnknown { id = 0 }
        epoch = 0
        known = [:]
    }
}
