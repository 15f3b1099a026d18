import ClusterMetadata
import EtcdMetadata
import Foundation
import Testing

@Suite struct SessionTests {
    private func putEphemeral(_ store: EtcdMetadataStore, _ key: String) throws {
        try store.commit(transaction { $0.put(key, bytes("here"), isEphemeral: true) })
    }

    @Test("an entry of the session needs one, and is gone when the store is closed")
    func close() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { other in
                let store = try openStore([etcd.endpoint])
                #expect(failure { try putEphemeral(store, "brokers/1") }?.name == "noSession")
                try store.openSession(timeoutMilliseconds: 60_000)
                try putEphemeral(store, "brokers/1")
                try store.commit(transaction { $0.put("nodes/1", bytes("stays")) })
                #expect(try other.snapshot().entries.map(\.key) == ["brokers/1", "nodes/1"])
                store.close()
                #expect(try other.snapshot().entries.map(\.key) == ["nodes/1"])
            }
        }
    }

    @Test("a living node keeps its entries beyond the timeout; those of a killed one run out, and others hear of it")
    func killed() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { other in
                let store = try openStore([etcd.endpoint])
                let recorder = NewsRecorder()
                other.observe(after: try other.snapshot().revision) { recorder.record($0) }
                try store.openSession(timeoutMilliseconds: 1000)
                try store.openSession(timeoutMilliseconds: 1000)
                try putEphemeral(store, "brokers/1")
                Thread.sleep(forTimeInterval: 3.5)
                #expect(try other.value("brokers/1") == "here")
                store.abandon()
                #expect(try other.value("brokers/1") == "here")
                try eventually("the entry runs out") { try other.value("brokers/1") == nil }
                try eventually("the observer is told") { recorder.changes.count == 2 }
                #expect(recorder.changes.map(\.changes) == [["brokers/1=here"], ["-brokers/1"]])
            }
        }
    }

    @Test("a session that somebody ended is told once, and another can be begun")
    func revoked() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let recorder = NewsRecorder()
                store.observe(after: try store.snapshot().revision) { recorder.record($0) }
                try store.openSession(timeoutMilliseconds: 2000)
                try putEphemeral(store, "brokers/1")
                try revokeAll(etcd)
                try eventually("the end is told") { recorder.events.contains("sessionEnded") }
                #expect(failure { try putEphemeral(store, "brokers/1") }?.name == "noSession")
                try store.openSession(timeoutMilliseconds: 2000)
                try putEphemeral(store, "brokers/1")
                Thread.sleep(forTimeInterval: 1.5)
                #expect(recorder.events == ["sessionEnded"])
                #expect(try store.value("brokers/1") == "here")
            }
        }
    }

    @Test("a commit that finds its session gone did nothing, and the end is told to the observer that comes later")
    func foundByCommit() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                try store.openSession(timeoutMilliseconds: 60_000)
                try revokeAll(etcd)
                let error = failure {
                    try store.commit(
                        transaction {
                            $0.put("a", bytes("1"))
                            $0.put("brokers/1", bytes("here"), isEphemeral: true)
                        })
                }
                #expect(error?.name == "noSession")
                #expect(try store.snapshot().entries.isEmpty)
                let recorder = NewsRecorder()
                store.observe(after: try store.snapshot().revision) { recorder.record($0) }
                try eventually("the end is told") { recorder.events == ["sessionEnded"] }
            }
        }
    }

    @Test("a session outlives an etcd that is silent for longer than its timeout")
    func silence() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let recorder = NewsRecorder()
                store.observe(after: try store.snapshot().revision) { recorder.record($0) }
                try store.openSession(timeoutMilliseconds: 2000)
                try putEphemeral(store, "brokers/1")
                etcd.kill()
                Thread.sleep(forTimeInterval: 3)
                try etcd.start()
                try eventually("etcd answers") { recorder.events.last == "available" }
                Thread.sleep(forTimeInterval: 3)
                #expect(try store.value("brokers/1") == "here")
                #expect(recorder.events == ["unavailable", "available"])
            }
        }
    }

    private func revokeAll(_ etcd: EtcdProcess) throws {
        let leases = try etcd.control("lease", "list").split(whereSeparator: \.isNewline).dropFirst()
        #expect(leases.count == 1)
        for lease in leases { try etcd.control("lease", "revoke", String(lease)) }
    }
}
