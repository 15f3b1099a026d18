import ClusterMetadata
import EtcdMetadata
import Foundation
import Testing

@Suite struct ClusterTests {
    @Test("of three members one may be missing, with two gone nothing can be changed, and it goes on when they return")
    func quorum() async throws {
        try await onThread {
            var peers: [String: Int] = [:]
            for name in ["m0", "m1", "m2"] { peers[name] = try EtcdProcess.freePort() }
            let members = try peers.keys.sorted().map { try EtcdProcess(name: $0, cluster: peers) }
            for member in members { try member.start(waiting: false) }
            defer { for member in members { member.stop() } }
            try withStore(members.map(\.endpoint), timeout: .seconds(3)) { store in
                var beginning: Int64 = 0
                try eventually("the members are a cluster") {
                    guard let revision = try? store.snapshot().revision else { return false }
                    beginning = revision
                    return true
                }
                let recorder = NewsRecorder()
                store.observe(after: beginning) { recorder.record($0) }
                try store.openSession(timeoutMilliseconds: 3000)
                try store.commit(transaction { $0.put("brokers/1", bytes("here"), isEphemeral: true) })

                // The member that the store talks to stands still: the next one serves.
                members[0].pause()
                try put("1", store)
                try eventually("the change is told") { recorder.changes.last?.changes == ["a=1"] }
                members[0].resume()

                // Two are gone: the third has no quorum, and says so rather than keep silent.
                members[0].kill()
                members[1].kill()
                try eventually("the store is unavailable") { recorder.events.last == "unavailable" }
                let error = failure { try store.commit(transaction { $0.put("a", bytes("never")) }) }
                #expect(error?.name == "unavailable" || error?.name == "unknownOutcome", "\(String(describing: error))")
                #expect(failure { _ = try store.snapshot() }?.name == "unavailable")

                // Long enough for the session to run out, if there were anybody to decide it.
                Thread.sleep(forTimeInterval: 3)
                try members[0].start(waiting: false)
                try members[1].start(waiting: false)
                try eventually("the store is available") { recorder.events.last == "available" }
                try put("2", store)
                try eventually("the change is told") { recorder.changes.last?.changes == ["a=2"] }
                #expect(try store.value("brokers/1") == "here")
                #expect(!recorder.events.contains("sessionEnded"))
            }
        }
    }

    /// By and by, as a caller does; what was left open is put again, which changes nothing.
    private func put(_ value: String, _ store: EtcdMetadataStore) throws {
        try eventually("'\(value)' is put") {
            if try store.value("a") == value { return true }
            return failure { try store.commit(transaction { $0.put("a", bytes(value)) }) } == nil
        }
    }
}
