import ClusterMetadata
import EtcdMetadata
import Foundation
import Synchronization
import Testing

@Suite struct WatchTests {
    @Test("each of a thousand transactions is told once, whole and in order, over two restarts of etcd")
    func restarts() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { writer in
                try withStore([etcd.endpoint]) { store in
                    let recorder = NewsRecorder()
                    let beginning = try store.snapshot().revision
                    store.observe(after: beginning) { recorder.record($0) }
                    for index in 0..<1000 {
                        if index == 300 || index == 700 {
                            etcd.kill()
                            try etcd.start()
                        }
                        try write(index, to: writer)
                    }
                    let end = try store.snapshot().revision
                    #expect(end == beginning + 1000)
                    try eventually("all is told") { recorder.changes.last?.revision == end }
                    let expected = (0..<1000).map { index in
                        NewsRecorder.Changes(
                            revision: beginning + 1 + Int64(index),
                            changes: [
                                "x=\(index)", index % 2 == 0 ? "only-even=\(index)" : "-only-even", "z=\(index)",
                            ].sorted())
                    }
                    // Within a revision etcd sorts neither by key nor by kind; ours puts deletes first.
                    let told = recorder.changes.map {
                        NewsRecorder.Changes(revision: $0.revision, changes: $0.changes.sorted())
                    }
                    #expect(told == expected)
                }
            }
        }
    }

    /// Once and no more: what is left open by a restart is looked up.
    private func write(_ index: Int, to store: EtcdMetadataStore) throws {
        var build = MetadataTransaction()
        build.require("x", version: Int64(index))
        build.put("x", bytes("\(index)"))
        if index % 2 == 0 { build.put("only-even", bytes("\(index)")) } else { build.delete("only-even") }
        build.put("z", bytes("\(index)"))
        for _ in 0..<20 {
            do {
                try store.commit(build)
                return
            } catch .unknownOutcome {
                if try store.value("x") == "\(index)" { return }
            } catch .unavailable {
                continue
            }
        }
        Issue.record("transaction \(index) could not be written")
    }

    @Test("what was missed is told whole even when it is larger than a message of etcd's")
    func fragments() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let beginning = try store.snapshot().revision
                for index in 0..<4 {
                    try store.commit(
                        transaction {
                            for key in ["a", "b", "c"] {
                                $0.put(key, bytes("\(index)") + [UInt8](repeating: 32, count: 450_000))
                            }
                        })
                }
                let recorder = NewsRecorder()
                store.observe(after: beginning) { recorder.record($0) }
                try eventually("all is told") { recorder.changes.count == 4 }
                for (index, change) in recorder.changes.enumerated() {
                    #expect(change.revision == beginning + 1 + Int64(index))
                    #expect(
                        change.changes.map { $0.trimmingCharacters(in: .whitespaces) }
                            == ["a=\(index)", "b=\(index)", "c=\(index)"])
                }
            }
        }
    }

    @Test("another observer takes the place of the first, from its own revision on")
    func replaced() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let first = NewsRecorder()
                let second = NewsRecorder()
                let beginning = try store.snapshot().revision
                store.observe(after: beginning) { first.record($0) }
                try store.commit(transaction { $0.put("a", bytes("1")) })
                try eventually("the first is told") { first.changes.count == 1 }
                store.observe(after: beginning) { second.record($0) }
                try store.commit(transaction { $0.put("a", bytes("2")) })
                try eventually("the second is told") { second.changes.count == 2 }
                #expect(first.changes.map(\.changes) == [["a=1"]])
                #expect(second.changes.map(\.changes) == [["a=1"], ["a=2"]])
            }
        }
    }

    @Test("a history that was compacted while nobody listened is lost, and a snapshot goes on from there")
    func compacted() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let recorder = NewsRecorder()
                let beginning = try store.snapshot().revision
                for index in 0..<5 { try store.commit(transaction { $0.put("a", bytes("\(index)")) }) }
                try etcd.control("compact", "\(beginning + 4)")
                store.observe(after: beginning) { recorder.record($0) }
                try eventually("the loss is told") { recorder.events == ["historyLost"] }
                let snapshot = try store.snapshot()
                #expect(snapshot.entries.map(\.value) == [bytes("4")])
                store.observe(after: snapshot.revision) { recorder.record($0) }
                try store.commit(transaction { $0.put("a", bytes("5")) })
                try eventually("changes are told again") { recorder.changes.map(\.changes) == [["a=5"]] }
                #expect(recorder.events == ["historyLost"])
            }
        }
    }

    @Test("the history is also lost when it is compacted during an outage")
    func compactedWhileAway() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let recorder = NewsRecorder()
                let gate = DispatchSemaphore(value: 0)
                store.observe(after: try store.snapshot().revision) {
                    recorder.record($0)
                    if case .changed = $0 { gate.wait() }
                }
                try withStore([etcd.endpoint]) { writer in
                    try writer.commit(transaction { $0.put("a", bytes("0")) })
                    try eventually("the observer is busy") { recorder.changes.count == 1 }
                    // Broken while the observer is busy, so that what follows is asked for after the compaction.
                    etcd.kill()
                    try etcd.start()
                    var last: Int64 = 0
                    for index in 1..<10 { last = try writer.commit(transaction { $0.put("a", bytes("\(index)")) }) }
                    try etcd.control("compact", "\(last)")
                    gate.signal()
                    try eventually("the loss is told") { recorder.events.contains("historyLost") }
                    #expect(recorder.changes.count == 1)
                }
            }
        }
    }

    @Test("an etcd that stands still is told to be unavailable, and available when it goes on, once each")
    func standstill() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let recorder = NewsRecorder()
                store.observe(after: try store.snapshot().revision) { recorder.record($0) }
                try store.commit(transaction { $0.put("a", bytes("1")) })
                Thread.sleep(forTimeInterval: 3)
                #expect(recorder.events.isEmpty)
                etcd.pause()
                let paused = Date.now
                try eventually("it is unavailable") { recorder.events == ["unavailable"] }
                #expect(Date.now.timeIntervalSince(paused) < 5)
                Thread.sleep(forTimeInterval: 2)
                etcd.resume()
                try eventually("it is available") { recorder.events == ["unavailable", "available"] }
                try store.commit(transaction { $0.put("a", bytes("2")) })
                try eventually("changes are told again") { recorder.changes.count == 2 }
                #expect(recorder.changes.map(\.changes) == [["a=1"], ["a=2"]])
                #expect(recorder.events == ["unavailable", "available"])
            }
        }
    }

    @Test("an observer that takes its time does not make etcd unavailable")
    func slowObserver() async throws {
        try await withEtcd { etcd in
            try withStore([etcd.endpoint]) { store in
                let recorder = NewsRecorder()
                store.observe(after: try store.snapshot().revision) {
                    recorder.record($0)
                    Thread.sleep(forTimeInterval: 1.3)
                }
                for index in 0..<3 { try store.commit(transaction { $0.put("a", bytes("\(index)")) }) }
                try eventually("all is told") { recorder.changes.count == 3 }
                #expect(recorder.events.isEmpty)
            }
        }
    }
}
