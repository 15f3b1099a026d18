import Glibc
import RecordFormat
import Synchronization
import Testing

@testable import CommitLog

@Suite struct DirectoryTests {
    let disk = SimulatedFileSystem(seed: 1)
    let name = PartitionName(topic: "a.b-c", partition: 12)

    func open(cluster: String = "c", node: Int32 = 1, now: Int64 = 0) throws -> LogDirectory {
        try LogDirectory.open(
            .init(
                path: "data", fileSystem: disk, clusterId: cluster, nodeId: node,
                configuration: { _ in Fixture.configuration() }, recoveryThreads: 3, now: now)
        ).directory
    }

    func text(_ path: String) throws -> String? {
        try disk.contents(of: path).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func filesAreAsKafkaWritesThem() throws {
        let directory = try open()
        let id = "AxMjM0NTY3ODk6Ozw9Pj8w"
        let log = try directory.createLog(name, topicId: id, configuration: Fixture.configuration(), now: 0)
        log.append([Fixture.batch(["a", "b"])], epoch: 4)
        log.updateHighWatermark(2)
        try log.deleteRecords(before: 1, now: 0)
        try directory.close(now: 0)
        #expect(try text("data/meta.properties") == "#\ncluster.id=c\nnode.id=1\nversion=1\n")
        #expect(try text("data/recovery-point-offset-checkpoint") == "0\n1\na.b-c 12 2\n")
        #expect(try text("data/replication-offset-checkpoint") == "0\n1\na.b-c 12 2\n")
        #expect(try text("data/log-start-offset-checkpoint") == "0\n1\na.b-c 12 1\n")
        #expect(try text("data/a.b-c-12/leader-epoch-checkpoint") == "0\n1\n4 1\n")
        #expect(try text("data/a.b-c-12/partition.metadata") == "version: 0\ntopic_id: \(id)")
        #expect(
            try disk.list("data/a.b-c-12").sorted() == [
                "00000000000000000000.index", "00000000000000000000.log", "00000000000000000000.timeindex",
                "00000000000000000002.snapshot", "leader-epoch-checkpoint", "partition.metadata",
            ])
        // The largest timestamp, 1000, and its record's offset, 1.
        #expect(
            try disk.contents(of: "data/a.b-c-12/00000000000000000000.timeindex")
                == [0, 0, 0, 0, 0, 0, 3, 232, 0, 0, 0, 1])
        let reopened = try open()
        #expect(try reopened.topicId(of: name) == id)
        #expect(reopened.log(name)?.startOffset == 1)
        #expect(reopened.checkpointedHighWatermark(name) == 2)
        #expect(try text("data/.kafka_cleanshutdown") == nil)
    }

    @Test func belongsToOneProcessNodeAndCluster() throws {
        let directory = try open()
        #expect(throws: LogDirectoryError.locked("data")) { try open() }
        try directory.close(now: 0)
        #expect(throws: LogDirectoryError.belongsElsewhere(MetaProperties(clusterId: "c", nodeId: 1))) {
            try open(node: 2)
        }
        #expect(throws: LogDirectoryError.belongsElsewhere(MetaProperties(clusterId: "c", nodeId: 1))) {
            try open(cluster: "d")
        }
        _ = try open()
    }

    @Test func propertiesOfOtherVersionsAreRead() {
        let kafka = MetaProperties(Array("#\n#Mon\nbroker.id=3\ncluster.id=x_y\nversion=0\n".utf8))
        #expect(kafka == MetaProperties(clusterId: "x_y", nodeId: 3))
        let newer = MetaProperties(Array("node.id=3\ndirectory.id=abc\nversion=1\ncluster.id=x\n".utf8))
        #expect(newer?.others == ["directory.id": "abc"])
        #expect(newer.flatMap { MetaProperties($0.encode()) } == newer)
        #expect(MetaProperties(Array("version=7\nnode.id=1\ncluster.id=x\n".utf8)) == nil)
    }

    @Test func deletedLogsGoAfterTheDelay() throws {
        let directory = try open()
        var configuration = Fixture.configuration()
        configuration.fileDeleteDelayMilliseconds = 100
        let log = try directory.createLog(name, topicId: nil, configuration: configuration, now: 0)
        log.append([Fixture.batch(["a"])])
        #expect(directory.sizes == [name: log.size])
        let unique = String(repeating: "0f", count: 16)
        try directory.deleteLog(name, unique: unique, now: 0)
        #expect(directory.log(name) == nil && log.append([Fixture.batch(["b"])]) == [.refused(.closed)])
        try directory.deletePending(now: 99)
        #expect(try disk.status(of: "data/a.b-c-12.\(unique)-delete") != nil)
        let again = try directory.createLog(name, topicId: nil, configuration: configuration, now: 0)
        #expect(again.endOffset == 0)
        try directory.deletePending(now: 100)
        #expect(try disk.list("data").filter { $0.hasPrefix("a.b") } == ["a.b-c-12"])
    }

    @Test func manyLogsAreOpenedAtTheSameTime() throws {
        let directory = try open()
        for partition in Int32(0)..<20 {
            let log = try directory.createLog(
                .init(topic: "t", partition: partition), topicId: nil, configuration: Fixture.configuration(), now: 0)
            log.append([Fixture.batch(Array(repeating: "x", count: Int(partition) + 1))])
            try log.sync()
        }
        disk.restart()
        let reopened = try open()
        for log in reopened.allLogs { #expect(log.endOffset == Int64(log.name.partition) + 1) }
        #expect(reopened.allLogs.count == 20)
    }

    @Test func checkpointsAreReadWholeOrNotAtAll() {
        let offsets = [PartitionName(topic: "a", partition: 0): Int64(5), name: 7]
        let bytes = OffsetCheckpoint.encode(offsets)
        #expect(OffsetCheckpoint.decode(bytes) == offsets)
        for text in ["", "0\n", "0\n2\na 0 1\n", "1\n1\na 0 1\n", "0\n1\na 0\n", "0\n1\na 0 -1\n", "0\n1\na x 1\n"] {
            #expect(OffsetCheckpoint.decode(Array(text.utf8)) == nil)
        }
    }
}

@Suite struct GroupCommitTests {
    @Test func everyRequestIsAnsweredByASynchronizationAfterIt() throws {
        let disk = SimulatedFileSystem(seed: 1)
        let log = try Fixture.open(disk)
        let answers = Mutex<[Int64]>([])
        let commit = GroupCommit(threads: 2) { _, result in
            if case .success(let offset) = result { answers.withLock { $0.append(offset) } }
        }
        for index in 0..<200 {
            log.append([Fixture.batch(["\(index)"])])
            commit.request(log, upTo: log.endOffset)
        }
        commit.stop()
        let found = answers.withLock { $0 }
        #expect(found.last == 200 && found == found.sorted())
        #expect(found.count <= 200 && log.durableOffset == 200)
    }

    @Test func failuresAreAnswersToo() throws {
        let disk = SimulatedFileSystem(seed: 1)
        let log = try Fixture.open(disk)
        log.append([Fixture.batch(["a"])])
        disk.inject(.init(.synchronize, code: EIO))
        let failures = Mutex(0)
        let commit = GroupCommit { _, result in
            if case .failure = result { failures.withLock { $0 += 1 } }
        }
        commit.request(log, upTo: 1)
        commit.stop()
        #expect(failures.withLock { $0 } == 1 && log.health.isOffline)
    }
}

@Suite struct RealFileSystemTests {
    /// The same life as on the simulated disk, on the machine's.
    @Test func aLogOnTheMachinesDisk() throws {
        var template = Array("/tmp/martlet-test-XXXXXX".utf8CString)
        let path = try #require(mkdtemp(&template).map { String(cString: $0) })
        let disk = RealFileSystem()
        func open() throws -> LogDirectory {
            try LogDirectory.open(
                .init(
                    path: path + "/data", fileSystem: disk, clusterId: "c", nodeId: 1,
                    configuration: { _ in Fixture.configuration(segmentBytes: 5000) }, recoveryThreads: 2, now: 0)
            ).directory
        }
        let name = PartitionName(topic: "t", partition: 0)
        var configuration = Fixture.configuration(segmentBytes: 5000)
        configuration.preallocationChunkBytes = 1 << 20
        var directory: LogDirectory? = try open()
        var log = try #require(directory).createLog(name, topicId: nil, configuration: configuration, now: 0)
        let large = String(repeating: "y", count: 2000)
        for index in 0..<100 { log.append([Fixture.batch(["\(index)"]), Fixture.batch([large])]) }
        #expect(try log.sync() == 200)
        #expect(throws: LogDirectoryError.locked(path + "/data")) { try open() }
        let slice = try log.read(from: 3, maxBytes: 100, minOneBatch: true)
        #expect(slice.file.descriptor != nil)
        let values = try log.values()
        #expect(values.count == 200 && values[199] == large)
        try directory?.writeCheckpoints()
        // Without a clean end.
        log.abandon()
        directory = nil
        directory = try open()
        log = try #require(directory?.log(name))
        #expect(try log.values() == values)
        log.updateHighWatermark(200)
        try log.deleteRecords(before: 150, now: 0)
        try log.deletePendingFiles(now: 1)
        try directory?.close(now: 0)
        directory = try open()
        #expect(try directory?.log(name)?.values(from: 150) == Array(values[150...]))
        try directory?.deleteLog(name, unique: String(repeating: "a", count: 32), now: 0)
        try directory?.deletePending(now: 1 << 40)
        try directory?.close(now: 0)
        for file in try disk.list(path + "/data") { try disk.removeFile(path + "/data/" + file) }
        try disk.removeDirectory(path + "/data")
        try disk.removeDirectory(path)
    }
}
