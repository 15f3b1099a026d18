import BrokerTestSupport
import ClusterMetadata
import CommitLog
import KafkaProtocol
import Testing

@testable import Broker

/// Power failures at every operation of the disk while transactions run.
@Suite struct TransactionCrashTests {
    private static let settings = [
        "transaction.state.log.num.partitions": "1", "offsets.topic.num.partitions": "1",
    ]

    private enum Outcome {
        case committed
        case aborted
        /// The client was not told.
        case unknown
    }

    /// One transaction after the other, each with a record in both partitions and an offset, every third aborted, until
    /// the disk is gone.
    private func run(
        _ fixture: BrokerFixture, _ version: TransactionalClient.Version, from first: Int, count: Int, id: String
    ) -> [Int: Outcome] {
        var outcomes: [Int: Outcome] = [:]
        let client = TransactionalClient(fixture, id, version)
        guard (try? client.findCoordinator()) == ErrorCode.none, (try? client.initialize()) == ErrorCode.none else {
            return outcomes
        }
        for number in first..<first + count {
            outcomes[number] = .unknown
            for partition in Int32(0)..<2 {
                guard (try? client.produce("t", partition, ["\(number)"])) == ErrorCode.none else { return outcomes }
            }
            guard (try? client.commitOffset(Int64(number) + 1, of: "t", group: "g")) == ErrorCode.none else {
                return outcomes
            }
            let commits = number % 3 != 2
            guard (try? client.end(commit: commits)) == ErrorCode.none else { return outcomes }
            outcomes[number] = commits ? .committed : .aborted
        }
        return outcomes
    }

    @Test(
        "no transaction is torn, forgotten or stuck, wherever the power fails",
        arguments: TransactionalClient.Version.allCases, [UInt64(1), 2, 3])
    func everyCrashPoint(_ version: TransactionalClient.Version, _ seed: UInt64) throws {
        let transactions = 6
        var crashes = 0
        for step in 0... {
            let disk = SimulatedFileSystem(seed: seed &* 1000 &+ UInt64(step))
            let store = MemoryMetadataStore()
            let fixture = try BrokerFixture(fileSystem: disk, store: store, Self.settings)
            try fixture.createTopic("t", partitions: 2)
            // Different points for different seeds; together they cover each operation.
            let point = disk.operationCount + 1 + step * 3 + Int(seed)
            disk.crash(atOperation: point)
            var outcomes = run(fixture, version, from: 0, count: transactions, id: "id")
            let crashed = disk.hasCrashed
            fixture.broker.quiesce()
            disk.restart()

            let again = try BrokerFixture(fileSystem: disk, store: store, Self.settings)
            // The same client comes back: it must get through, and end what it left open.
            outcomes.merge(run(again, version, from: 99, count: 2, id: "id")) { $1 }
            #expect(outcomes[100] == .committed, "stuck after a crash at \(step)")
            try check(again, outcomes, "seed \(seed), step \(step), \(version)")
            again.broker.quiesce()
            if !crashed { break }
            crashes += 1
        }
        #expect(crashes > 20)
    }

    @Test("a topic that trusts the page cache may lose records with the power, but no transaction of it is stuck")
    func pageCache() throws {
        for step in 0..<60 {
            let disk = SimulatedFileSystem(seed: 77 &+ UInt64(step))
            let store = MemoryMetadataStore()
            let fixture = try BrokerFixture(fileSystem: disk, store: store, Self.settings)
            try fixture.createTopic("t", partitions: 2, ["durability": "page-cache"])
            disk.crash(atOperation: disk.operationCount + 1 + step * 3)
            _ = run(fixture, .one, from: 0, count: 6, id: "id")
            fixture.broker.quiesce()
            disk.restart()
            let again = try BrokerFixture(fileSystem: disk, store: store, Self.settings)
            let outcomes = run(again, .one, from: 99, count: 2, id: "id")
            #expect(outcomes[100] == .committed, "stuck after a crash at \(step)")
            settle(again)
            for partition in Int32(0)..<2 {
                let read = try PartitionView(again).read("t", partition)
                #expect(read.lastStableOffset == read.highWatermark, "stuck after a crash at \(step)")
                #expect(read.values.suffix(2) == ["99", "100"])
            }
            again.broker.quiesce()
        }
    }

    private func settle(_ fixture: BrokerFixture) {
        fixture.run {
            fixture.broker.topics.topic(named: "t")!.leaders.compactMap(\.self).allSatisfy { leader in
                leader.log.lastStableOffset == leader.log.endOffset && leader.highWatermark == leader.log.endOffset
            }
        }
    }

    private func check(_ fixture: BrokerFixture, _ outcomes: [Int: Outcome], _ comment: String) throws {
        settle(fixture)
        let reads = try (Int32(0)..<2).map { try PartitionView(fixture).read("t", $0) }
        for read in reads { #expect(read.lastStableOffset == read.highWatermark, "stuck: \(comment)") }
        #expect(reads[0].values == reads[1].values, "torn: \(comment)")
        let seen = reads[0].values.map { Int($0)! }
        #expect(seen == seen.sorted() && Set(seen).count == seen.count, "\(comment)")
        for (number, outcome) in outcomes {
            switch outcome {
            case .committed: #expect(seen.contains(number), "lost \(number): \(comment)")
            case .aborted: #expect(!seen.contains(number), "aborted \(number) is seen: \(comment)")
            case .unknown: break
            }
        }
        var offset = try PartitionView(fixture).committedOffset(of: "g", "t")
        fixture.run {
            offset = (try? PartitionView(fixture).committedOffset(of: "g", "t")) ?? offset
            return offset.error == .none
        }
        #expect(
            offset.error == .none && offset.offset == (seen.last.map { Int64($0) + 1 } ?? -1),
            "offsets torn: \(comment)")
    }
}
