import KafkaProtocol
import Testing

@testable import TransactionCoordinator

@Suite struct TransactionPropertyTests {
    /// The model tells which records may follow which: an outcome never changes, a producer that is fenced never
    /// commits, epochs never go down, nothing is complete before all partitions know. The world tells that answers and
    /// markers speak of the durable log only, that everyone is answered once, and that the state is what its records
    /// say.
    @Test("whatever happens, the promises hold", arguments: 0..<8)
    func promises(_ block: UInt64) {
        var counts: [String: Int] = [:]
        for seed in block * 200..<(block + 1) * 200 {
            var world = TransactionWorld(seed: seed)
            for _ in 0..<150 {
                world.step()
                guard world.problems.isEmpty else { break }
            }
            if world.problems.isEmpty { world.finish() }
            #expect(world.problems == [], "seed \(seed)")
            counts.merge(world.counts) { $0 + $1 }
        }
        // A world in which little happens would keep its promises, too.
        let reached = [
            "empty", "ongoing", "prepareCommit", "prepareAbort", "completeCommit", "completeAbort", "tombstone",
            "rotation", "failed append", "crash", "ticket", "init NONE", "init PRODUCER_FENCED",
            "init CONCURRENT_TRANSACTIONS", "init COORDINATOR_LOAD_IN_PROGRESS", "add NONE", "add PRODUCER_FENCED",
            "add INVALID_PRODUCER_ID_MAPPING", "add CONCURRENT_TRANSACTIONS", "verify NONE",
            "verify TRANSACTION_ABORTABLE", "end NONE", "end PRODUCER_FENCED", "end INVALID_TXN_STATE",
            "end CONCURRENT_TRANSACTIONS", "end INVALID_PRODUCER_ID_MAPPING",
        ]
        for what in reached { #expect(counts[what, default: 0] >= 5, "\(what)") }
    }
}
