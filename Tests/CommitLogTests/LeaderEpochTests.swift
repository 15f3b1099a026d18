import Testing

@testable import CommitLog

/// Leader epochs are written with the checkpoints, not with the records.
@Suite struct LeaderEpochTests {
    let disk = SimulatedFileSystem(seed: 1)
    let name = PartitionName(topic: "t", partition: 0)

    private func open() throws -> LogDirectory {
        try LogDirectory.open(
            .init(
                path: "data", fileSystem: disk, clusterId: "c", nodeId: 1,
                configuration: { _ in Fixture.configuration() }, now: 0)
        ).directory
    }

    @Test("after a power failure the epochs are found in the batches, or in the file where no batch is read again")
    func recovered() throws {
        let directory = try open()
        let log = try directory.createLog(name, topicId: nil, configuration: Fixture.configuration(), now: 0)
        log.append([Fixture.batch(["a", "b"])], epoch: 3)
        log.append([Fixture.batch(["c"])], epoch: 5)
        try log.sync()
        try log.roll(now: 0)
        try log.sync()
        try directory.writeCheckpoints()
        log.append([Fixture.batch(["d"])], epoch: 8)
        try log.sync()
        let before = log.leaderEpochs
        #expect(before.map(\.epoch) == [3, 5, 8])
        #expect(before.map(\.startOffset) == [0, 2, 3])
        directory.abandon()
        disk.restart()
        #expect(try open().log(name)?.leaderEpochs == before)
    }

    @Test("a follower that is told to cut where it ends forgets epochs without records")
    func emptyEpoch() throws {
        let directory = try open()
        let log = try directory.createLog(name, topicId: nil, configuration: Fixture.configuration(), now: 0)
        log.append([Fixture.batch(["a", "b"])], epoch: 3)
        log.lock.withLock { log.noteEpoch(7, from: 2) }
        #expect(log.latestEpoch == 7)
        try log.truncate(to: 2, now: 0)
        #expect(log.latestEpoch == 3)
        #expect(log.endOffset == 2)
    }

    @Test("who has another role, or has it in another epoch, appends and cuts nothing")
    func roles() throws {
        let directory = try open()
        let log = try directory.createLog(name, topicId: nil, configuration: Fixture.configuration(), now: 0)
        log.setRole(isLeader: true, epoch: 2)
        log.append([Fixture.batch(["a"])], epoch: 2)
        #expect(log.endOffset == 1)
        #expect(throws: LogError.notInThisRole) { try log.truncate(to: 0, asFollowerIn: 2, now: 0) }
        log.setRole(isLeader: false, epoch: 3)
        let outcomes = log.append([Fixture.batch(["b"])], epoch: 2)
        #expect(outcomes == [.refused(.notInThisRole)])
        #expect(throws: LogError.notInThisRole) { try log.restart(at: 5, asFollowerIn: 2, now: 0) }
        let bytes = Fixture.batch(["b"])
        #expect(throws: AppendRefusal.notInThisRole) {
            try bytes.withUnsafeBytes { try log.appendAsFollower($0, epoch: 2, now: 0) }
        }
        #expect(log.endOffset == 1)
        try log.truncate(to: 0, asFollowerIn: 3, now: 0)
        #expect(log.endOffset == 0)
    }
}
