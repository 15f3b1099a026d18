import Configuration
import KafkaProtocol
import TestSupport
import Testing

@testable import ClusterMetadata

/// Random lives of clusters, held to what is promised of leaders, in-sync sets and epochs, and to the promise behind
/// them: who leads has every acknowledged record, unless it was said that some may be lost.
@Suite struct ControllerPropertyTests {
    @Test("leaders, in-sync sets, epochs and acknowledged records survive whatever happens", arguments: 0..<20)
    func lives(block: Int) throws {
        for seed in block * 30..<(block + 1) * 30 {
            var life = try ClusterLife(seed: UInt64(seed))
            for _ in 0..<100 {
                try life.step()
                if !life.violations.isEmpty { break }
            }
            if life.violations.isEmpty { try life.recover() }
            #expect(life.violations.isEmpty, "seed \(seed): \(life.violations) after \(life.events.suffix(12))")
        }
    }
}
