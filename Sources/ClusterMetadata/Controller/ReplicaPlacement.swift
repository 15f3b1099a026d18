/// Where the replicas of new partitions go: in different racks as far as there are racks, evenly over the brokers, and
/// with leaders that go round all of them.
struct ReplicaPlacement {
    struct Broker {
        let id: Int32
        let rack: Int
    }

    /// Neighbours are in different racks, as long as there are such.
    private let brokers: [Broker]
    private let rackCount: Int

    init(_ registrations: some Sequence<BrokerRegistration>) {
        // Brokers without a rack count as one rack, as in Kafka.
        let racks = Dictionary(grouping: registrations, by: \.rack).values
            .map { $0.map(\.nodeId).sorted() }
            .sorted { $0[0] < $1[0] }
        var brokers: [Broker] = []
        for depth in 0..<(racks.map(\.count).max() ?? 0) {
            for (rack, members) in racks.enumerated() where depth < members.count {
                brokers.append(Broker(id: members[depth], rack: rack))
            }
        }
        self.brokers = brokers
        rackCount = racks.count
    }

    /// The replicas of each new partition, the leader first. The factor must not exceed the number of brokers.
    func place(partitions: Int, factor: Int, using generator: inout some RandomNumberGenerator) -> [[Int32]] {
        precondition(factor > 0 && factor <= brokers.count, "as many replicas as there are brokers, at most")
        let start = Int.random(in: 0..<brokers.count, using: &generator)
        let firstTurn = Int.random(in: 0..<brokers.count, using: &generator)
        var counts = Counts(brokers: brokers.count)
        return (0..<partitions).map { index in
            let leader = (start + index) % brokers.count
            let turn = firstTurn + index / brokers.count
            return replicas(leader: leader, turn: turn, factor: factor, &counts)
        }
    }

    /// What was placed so far.
    private struct Counts {
        /// Replicas, by broker.
        var replicas: [Int]
        /// How often a broker comes second, by the one that comes first: it takes over when that one dies.
        var successions: [[Int]]

        init(brokers: Int) {
            replicas = [Int](repeating: 0, count: brokers)
            successions = [[Int]](repeating: replicas, count: brokers)
        }
    }

    private func replicas(leader: Int, turn: Int, factor: Int, _ counts: inout Counts) -> [Int32] {
        var chosen = [leader]
        var perRack = [Int](repeating: 0, count: rackCount)
        perRack[brokers[leader].rack] += 1
        counts.replicas[leader] += 1
        while chosen.count < factor {
            // The rack comes first. Then who takes over, so that the leaders stay even when a broker dies; then the
            // load. Among equals the first on the way round, from another start each time that the leaders went round.
            func cost(_ candidate: Int) -> (Int, Int, Int) {
                let succession = chosen.count == 1 ? counts.successions[leader][candidate] : 0
                return (perRack[brokers[candidate].rack], succession, counts.replicas[candidate])
            }
            var best: Int?
            for step in 0..<brokers.count - 1 {
                let candidate = (leader + 1 + (turn + step) % (brokers.count - 1)) % brokers.count
                guard !chosen.contains(candidate) else { continue }
                if let current = best, cost(current) <= cost(candidate) { continue }
                best = candidate
            }
            guard let best else { preconditionFailure("there are as many brokers as replicas") }
            if chosen.count == 1 { counts.successions[leader][best] += 1 }
            chosen.append(best)
            perRack[brokers[best].rack] += 1
            counts.replicas[best] += 1
        }
        return chosen.map { brokers[$0].id }
    }
}
