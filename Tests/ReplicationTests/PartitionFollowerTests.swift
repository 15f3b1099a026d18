import CommitLog
import RecordFormat
import Replication
import Synchronization
import Testing

/// A partition that this node follows, with a log on a simulated disk.
@Suite struct PartitionFollowerTests {
    /// Syncs when it is told to.
    private final class Synchronizer: LogSynchronizer {
        private let asked = Mutex(0)

        var requests: Int { asked.withLock { $0 } }

        func request(_ log: Log, upTo offset: Int64) { asked.withLock { $0 += 1 } }
        func stop() {}
    }

    private func log() throws -> Log {
        let fileSystem = SimulatedFileSystem(seed: 1)
        try fileSystem.createDirectory("t-0")
        try fileSystem.synchronizeDirectory(".")
        var configuration = LogConfiguration()
        configuration.preallocationChunkBytes = 0
        return try Log.open(
            LogOpening(
                name: PartitionName(topic: "t", partition: 0), path: "t-0", fileSystem: fileSystem,
                configuration: configuration, recoveryPoint: 0, logStartOffset: 0, wasCleanShutdown: true, now: 1000)
        ).log
    }

    private func append(to log: Log) throws {
        var builder = RecordBatchBuilder()
        builder.append(key: nil, value: [1], timestamp: 1000)
        let bytes = try builder.build()
        bytes.withUnsafeBytes { bytes in
            var pending = [
                PendingAppend(header: RecordBatchHeader(bytes)!, bytes: bytes, permission: .client)
            ]
            log.append(&pending, leaderEpoch: 0, now: 1000)
        }
    }

    /// A fetch that is begun anew while the one before waits for a sync: whichever comes later, both are told. When only
    /// the later was, and that was the one given up, nothing was fetched from that leader any more.
    @Test func allWhoWaitForASyncAreTold() throws {
        let log = try log()
        for _ in 0..<2 { try append(to: log) }
        let follower = PartitionFollower(topic: "t", partition: 0, log: log, leader: 2, leaderEpoch: 0)
        let synchronizer = Synchronizer()
        let told = Mutex<[String]>([])
        follower.whenSynchronized(to: 1, by: synchronizer) { told.withLock { $0.append("first") } }
        follower.whenSynchronized(to: 1, by: synchronizer) { told.withLock { $0.append("second") } }
        follower.whenSynchronized(to: 2, by: synchronizer) { told.withLock { $0.append("third") } }
        #expect(synchronizer.requests == 3)
        #expect(told.withLock { $0 }.isEmpty)
        follower.synchronized(to: 1)
        #expect(told.withLock { $0 } == ["first", "second"])
        follower.synchronized(to: 2)
        #expect(told.withLock { $0 } == ["first", "second", "third"])
    }

    @Test func theEndOfTheRoleIsTheEndOfTheWait() throws {
        let log = try log()
        try append(to: log)
        let follower = PartitionFollower(topic: "t", partition: 0, log: log, leader: 2, leaderEpoch: 0)
        let synchronizer = Synchronizer()
        let told = Mutex(0)
        for _ in 0..<2 { follower.whenSynchronized(to: 1, by: synchronizer) { told.withLock { $0 += 1 } } }
        follower.end(.notLeader)
        #expect(told.withLock { $0 } == 2)
        follower.whenSynchronized(to: 1, by: synchronizer) { told.withLock { $0 += 1 } }
        #expect(told.withLock { $0 } == 3)
        #expect(synchronizer.requests == 2)
    }
}
