import ClusterMetadata
import EtcdMetadata
import Foundation
import Synchronization
import Testing

@Suite struct StoreTests {
    private final class Failures: Sendable {
        let list = Mutex<[any Error]>([])
    }

    @Test("a transaction whose condition does not hold names the key and does nothing")
    func conflict() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let first = try store.commit(
                    transaction {
                        $0.require("a", version: 0)
                        $0.put("a", bytes("1"))
                        $0.put("b", bytes("1"))
                    })
                let error = failure {
                    try store.commit(
                        transaction {
                            $0.require("a", version: 1)
                            $0.require("b", version: 2)
                            $0.require("c", version: 0)
                            $0.put("a", bytes("2"))
                            $0.delete("b")
                        })
                }
                guard case .conflict(let key) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(key == "b")
                let snapshot = try store.snapshot()
                #expect(
                    snapshot.entries == [
                        MetadataEntry(key: "a", value: bytes("1"), version: 1, revision: first),
                        MetadataEntry(key: "b", value: bytes("1"), version: 1, revision: first),
                    ])
                #expect(snapshot.revision == first)
            }
        }
    }

    @Test("puts and deletes of a transaction happen at one revision, versions count the changes of a key")
    func atomic() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                try store.commit(transaction { $0.put("old", bytes("x")) })
                let second = try store.commit(
                    transaction {
                        $0.require("old", version: 1)
                        $0.delete("old")
                        for index in 0..<50 { $0.put("key-\(index)", bytes("\(index)")) }
                    })
                let third = try store.commit(transaction { $0.put("key-7", bytes("seven")) })
                let entries = try store.snapshot().entries
                #expect(entries.count == 50)
                #expect(Set(entries.map(\.revision)) == [second, third])
                let seven = try #require(entries.first { $0.key == "key-7" })
                #expect(seven == MetadataEntry(key: "key-7", value: bytes("seven"), version: 2, revision: third))
            }
        }
    }

    @Test("two stores with prefixes of their own do not see each other")
    func prefixes() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint], { $0.keyPrefix = "one/" }) { one in
                try withStore([etcd.endpoint], { $0.keyPrefix = "two/" }) { two in
                    try one.commit(transaction { $0.put("a", bytes("1")) })
                    try two.commit(transaction { $0.put("b", bytes("2")) })
                    #expect(try one.snapshot().entries.map(\.key) == ["a"])
                    #expect(try two.snapshot().entries.map(\.key) == ["b"])
                    #expect(try etcd.control("get", "--prefix", "", "--keys-only").contains("one/a"))
                }
            }
        }
    }

    @Test("a snapshot of many pages and megabytes is of one revision")
    func largeSnapshot() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let value = [UInt8](repeating: 7, count: 12_000)
                for chunk in 0..<7 {
                    try store.commit(
                        transaction {
                            for index in 0..<100 { $0.put("topics/\(chunk)-\(index)", value) }
                        })
                }
                let snapshot = try store.snapshot()
                #expect(snapshot.entries.count == 700)
                #expect(Set(snapshot.entries.map(\.key)).count == 700)
                #expect(snapshot.entries.allSatisfy { $0.value == value })
                #expect(snapshot.revision == snapshot.entries.map(\.revision).max())
            }
        }
    }

    @Test("what is more than etcd takes is refused, and nothing of it happens")
    func tooLarge() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let tooMany = failure {
                    try store.commit(transaction { for index in 0..<129 { $0.put("key-\(index)", []) } })
                }
                #expect(tooMany?.name == "unavailable")
                let reason = tooMany?.description ?? ""
                #expect(reason.contains("too many operations"))
                let tooLarge = failure {
                    try store.commit(transaction { $0.put("key", [UInt8](repeating: 0, count: 1_700_000)) })
                }
                #expect(tooLarge?.name == "unavailable", "\(String(describing: tooLarge))")
                #expect(try store.snapshot().entries.isEmpty)
                try store.commit(
                    transaction {
                        for index in 0..<EtcdMetadataStore.maximumOperations {
                            $0.require("key-\(index)", version: 0)
                            $0.put("key-\(index)", [])
                        }
                    })
                #expect(try store.snapshot().entries.count == 100)
            }
        }
    }

    @Test("many commits at once, and many bytes, are more than one connection is good for, but no failure")
    func manyCommits() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let failures = Failures()
                let threads = DispatchGroup()
                for thread in 0..<4 {
                    threads.enter()
                    Thread.detachNewThread {
                        do {
                            for index in 0..<150 {
                                try store.commit(transaction { $0.put("\(thread)/\(index)", bytes("x")) })
                            }
                        } catch {
                            failures.list.withLock { $0.append(error) }
                        }
                        threads.leave()
                    }
                }
                threads.wait()
                for index in 0..<12 {
                    try store.commit(
                        transaction { $0.put("large-\(index)", [UInt8](repeating: 0, count: 1_400_000)) })
                }
                #expect(failures.list.withLock { $0.map { "\($0)" } } == [])
                #expect(try store.snapshot().entries.count == 612)
            }
        }
    }

    @Test("a closed store refuses, and closing it twice does nothing")
    func close() async throws {
        try await withEtcd { etcd in
            let store = try openStore([etcd.endpoint])
            try store.commit(transaction { $0.put("a", []) })
            store.close()
            store.close()
            #expect(failure { _ = try store.snapshot() }?.name == "unavailable")
            #expect(failure { try store.commit(transaction { $0.put("a", []) }) }?.name == "unavailable")
        }
    }

    @Test(
        "a configuration that cannot work is refused at the start",
        arguments: [[], [""], ["localhost"], ["http://localhost:0"], ["ftp://a:1"], ["http://a:1/x"], ["::1:2379"]])
    func configuration(endpoints: [String]) async throws {
        try await onThread {
            #expect(failure { _ = try openStore(endpoints) }?.name == "unavailable")
        }
    }

    @Test("files that are missing or do not belong together are refused at the start")
    func files() async throws {
        try await onThread {
            for change: (inout EtcdConfiguration) -> Void in [
                { $0.authorityFile = "/missing.pem" }, { $0.certificateFile = "/missing.pem" },
                { $0.username = "root" },
            ] {
                #expect(failure { _ = try openStore(["127.0.0.1:1"], change) }?.name == "unavailable")
            }
        }
    }

    @Test("an embedded node's metadata is taken into etcd once, the cluster's entry last")
    func migration() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let source = MemoryMetadataStore()
                #expect(failure { _ = try MetadataMigration.copy(from: source, to: store) }?.name == "unavailable")
                for index in 0..<250 {
                    _ = try source.commit(
                        transaction { $0.put("topics/t\(index)", [UInt8](repeating: 1, count: 20_000)) })
                }
                _ = try source.commit(
                    transaction {
                        $0.put("cluster", bytes("{}"))
                        $0.put("producer-ids", bytes("1"))
                        $0.put("nodes/1", bytes("n"))
                        $0.put("configs/brokers/default", bytes("c"))
                        $0.put("brokers/1", bytes("ephemeral"))
                        $0.put("controller", bytes("ephemeral"))
                    })
                // What a copy that broke off has left.
                try store.commit(
                    transaction {
                        $0.put("topics/deleted", bytes("x"))
                        $0.put("topics/t7", bytes("x"))
                    })
                #expect(try MetadataMigration.copy(from: source, to: store) == 254)
                let copied = try store.snapshot().entries
                let kept = try source.snapshot().entries.filter { $0.key != "brokers/1" && $0.key != "controller" }
                #expect(
                    Dictionary(uniqueKeysWithValues: copied.map { ($0.key, $0.value) })
                        == Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) }))
                #expect(copied.max { $0.revision < $1.revision }?.key == "cluster")
                guard case .conflict("cluster")? = failure({ _ = try MetadataMigration.copy(from: source, to: store) })
                else {
                    Issue.record("copied over a cluster")
                    return
                }
            }
        }
    }
}
