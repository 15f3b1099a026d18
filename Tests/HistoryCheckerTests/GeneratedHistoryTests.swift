import HistoryChecker
import Testing

@Suite struct GeneratedHistoryTests {
    @Test("what a correct broker does is never called an anomaly")
    func clean() throws {
        for seed in 0..<500 as Range<UInt64> {
            let (history, _) = ModelCluster.history(seed: seed)
            let anomalies = try history.anomalies()
            #expect(anomalies.isEmpty, "seed \(seed): \(anomalies.prefix(3))")
        }
    }

    @Test("a long run too")
    func longRun() throws {
        for seed in 0..<5 as Range<UInt64> {
            let (history, _) = ModelCluster.history(seed: seed, steps: 3000)
            let anomalies = try history.anomalies()
            #expect(anomalies.isEmpty, "seed \(seed): \(anomalies.prefix(3))")
        }
    }

    @Test("the histories hold what the checks are about")
    func variety() throws {
        var seen: [String: Int] = [:]
        for seed in 0..<100 as Range<UInt64> {
            let (history, cluster) = ModelCluster.history(seed: seed)
            seen[history.events[0].time == nil ? "without times" : "with times", default: 0] += 1
            for operation in history.events.map(\.operation) {
                switch operation {
                case .send(let send): seen["send \("\(send.outcome)".prefix(7))", default: 0] += 1
                case .transactionEnd(let end): seen["end \(end.outcome)", default: 0] += 1
                case .poll(let poll): seen["read \(poll.isolation)", default: 0] += poll.records.count
                case .position(.set): seen["seek", default: 0] += 1
                case .position: seen["rebalance", default: 0] += 1
                case .offsetCommit(let commit):
                    seen["commit \(commit.outcome) \(commit.transaction != nil)", default: 0] += 1
                case .offsetFetch(let fetch): seen["fetch \(fetch.offset != nil)", default: 0] += 1
                case .finalRead(let read): seen["final", default: 0] += read.entries.count
                }
            }
            seen["aborted", default: 0] += cluster.aborted.count
        }
        #expect(seen.count == 22, "\(seen)")
        for (what, count) in seen { #expect(count >= 10, "\(what): \(count)") }
    }

    @Test("a planted anomaly is found, and nothing that it does not cause", arguments: Plant.all)
    func planted(plant: Plant) throws {
        var count = 0
        for seed in 0..<300 as Range<UInt64> {
            var garden = Garden(seed: seed)
            guard let planted = plant.plant(&garden) else { continue }
            count += 1
            let anomalies = try garden.history.anomalies()
            #expect(planted.isFound(in: anomalies), "seed \(seed): \(planted) not in \(anomalies)")
            let strangers = planted.strangers(in: anomalies)
            #expect(strangers.isEmpty, "seed \(seed): \(strangers.prefix(3)) beside \(planted)")
        }
        #expect(count >= 60, "planted \(count) times")
    }

    @Test("the same history is judged in the same words")
    func stable() throws {
        for seed in 0..<20 as Range<UInt64> {
            var garden = Garden(seed: seed)
            for plant in Plant.all { _ = plant.plant(&garden) }
            let first = try garden.history.anomalies()
            #expect(first.count >= 8)
            #expect(try garden.history.anomalies() == first)
        }
    }
}
