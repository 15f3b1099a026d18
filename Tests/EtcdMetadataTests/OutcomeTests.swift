import ClusterMetadata
import EtcdMetadata
import Foundation
import Synchronization
import Testing

@Suite struct OutcomeTests {
    @Test("without etcd nothing can have happened")
    func nobodyThere() async throws {
        try await onThread {
            let port = try EtcdProcess.freePort()
            try withStore(["127.0.0.1:\(port)"], timeout: .milliseconds(500)) { store in
                let began = Date.now
                #expect(failure { try store.commit(transaction { $0.put("a", []) }) }?.name == "unavailable")
                #expect(failure { _ = try store.snapshot() }?.name == "unavailable")
                #expect(failure { try store.openSession(timeoutMilliseconds: 1000) }?.name == "unavailable")
                #expect(Date.now.timeIntervalSince(began) < 5)
            }
        }
    }

    @Test("a commit that etcd did not answer is of unknown outcome, and happened once or never")
    func standstill() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint], timeout: .seconds(2)) { store in
                try store.commit(transaction { $0.put("a", bytes("1")) })
                etcd.pause()
                let error = failure {
                    try store.commit(
                        transaction {
                            $0.require("a", version: 1)
                            $0.put("a", bytes("2"))
                        })
                }
                #expect(error?.name == "unknownOutcome", "\(String(describing: error))")
                etcd.resume()
                var version: Int64 = 0
                try eventually("etcd answers") {
                    version = (try? store.snapshot())?.entries.first?.version ?? 0
                    return version > 0
                }
                #expect(version == 1 || version == 2)
            }
        }
    }

    @Test("a member that is gone, and one that stands still, make way for the next")
    func nextMember() async throws {
        try await withEtcd { etcd in
            let still = try EtcdProcess.started()
            defer { still.stop() }
            still.pause()
            let gone = "http://127.0.0.1:\(try EtcdProcess.freePort())"
            try withStore([gone, still.endpoint, etcd.endpoint]) { store in
                let began = Date.now
                try store.commit(transaction { $0.put("a", bytes("1")) })
                #expect(Date.now.timeIntervalSince(began) < 4)
                #expect(try store.value("a") == "1")
            }
        }
    }

    private struct Outcomes {
        var done: Set<String> = []
        var refused: Set<String> = []
        var unknown: Set<String> = []
        var unexpected: [MetadataStoreError] = []
        var commits = 0
    }

    @Test("while etcd is killed again and again, no commit that failed happened, and none happened twice")
    func kills() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint], timeout: .seconds(2)) { store in
                let outcomes = Record()
                let isOver = Flag()
                let writers = DispatchGroup()
                for _ in 0..<4 {
                    writers.enter()
                    Thread.detachNewThread {
                        while !isOver.value.load(ordering: .relaxed) { self.commitOnce(store, outcomes) }
                        writers.leave()
                    }
                }
                defer {
                    isOver.value.store(true, ordering: .relaxed)
                    writers.wait()
                }
                for round in 0..<5 {
                    if round > 0 {
                        etcd.kill()
                        try etcd.start()
                    }
                    let before = outcomes.value.withLock { $0.done.count }
                    try eventually("commits go on") { outcomes.value.withLock { $0.done.count } >= before + 50 }
                }
                isOver.value.store(true, ordering: .relaxed)
                writers.wait()
                let found = try store.snapshot().entries
                #expect(found.allSatisfy { $0.version == 1 })
                let keys = Set(found.map(\.key))
                outcomes.value.withLock { outcomes in
                    #expect(outcomes.unexpected.isEmpty)
                    #expect(outcomes.done.isSubset(of: keys))
                    #expect(outcomes.refused.isDisjoint(with: keys))
                    #expect(keys.isSubset(of: outcomes.done.union(outcomes.unknown)))
                }
            }
        }
    }

    private final class Record: Sendable {
        let value = Mutex(Outcomes())
    }

    private final class Flag: Sendable {
        let value = Atomic(false)
    }

    private func commitOnce(_ store: EtcdMetadataStore, _ record: Record) {
        // A key of its own for each commit: its version tells how often it happened.
        let key = record.value.withLock { outcomes in
            outcomes.commits += 1
            return "key-\(outcomes.commits)"
        }
        let error = failure { try store.commit(transaction { $0.put(key, []) }) }
        record.value.withLock { outcomes in
            switch error {
            case nil: outcomes.done.insert(key)
            case .unknownOutcome: outcomes.unknown.insert(key)
            case .unavailable: outcomes.refused.insert(key)
            case .some(let error): outcomes.unexpected.append(error)
            }
        }
    }
}
