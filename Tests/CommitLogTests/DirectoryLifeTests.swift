import Testing

@testable import CommitLog

/// What a node must tell the others when it comes back: whether it may lack what only the page cache had.
@Suite struct DirectoryLifeTests {
    let disk = SimulatedFileSystem(seed: 1)

    private func open() throws -> LogDirectory {
        try LogDirectory.open(
            .init(
                path: "data", fileSystem: disk, clusterId: "c", nodeId: 1,
                configuration: { _ in Fixture.configuration() }, now: 0)
        ).directory
    }

    private func begin(_ directory: LogDirectory, machine: String) throws -> DirectoryLife {
        try directory.beginLife(machine: machine, newDirectoryId: "id-\(machine)")
    }

    /// A directory that was in use, and taken note of, in the machine's first life.
    private func used() throws -> LogDirectory {
        let directory = try open()
        _ = try begin(directory, machine: "first")
        try directory.settleLife(machine: "first")
        return directory
    }

    @Test("a directory that nobody has heard of is new, however often it is opened")
    func new() throws {
        let directory = try open()
        #expect(try begin(directory, machine: "first").isNew)
        try directory.close(now: 0)
        let again = try open()
        #expect(try begin(again, machine: "second").isNew)
        try again.settleLife(machine: "second")
        #expect(try !begin(again, machine: "second").isNew)
    }

    @Test("its id stays")
    func id() throws {
        let directory = try used()
        #expect(try begin(directory, machine: "second").directoryId == "id-first")
    }

    @Test("a process that was killed has lost nothing: the page cache is the machine's")
    func killed() throws {
        try used().abandon()
        disk.restartProcess()
        let life = try begin(open(), machine: "first")
        #expect(!life.mayLackUnsynced && !life.isNew)
    }

    @Test("a machine that went down may have lost what was not synced")
    func powerFailure() throws {
        try used().abandon()
        disk.restart()
        #expect(try begin(open(), machine: "second").mayLackUnsynced)
    }

    @Test("not after a clean end")
    func clean() throws {
        try used().close(now: 0)
        disk.restart()
        #expect(try !begin(open(), machine: "second").mayLackUnsynced)
    }

    @Test("the loss is told until somebody has taken note of it, also after starts that got nowhere and ended cleanly")
    func unsettled() throws {
        try used().abandon()
        disk.restart()
        let second = try open()
        #expect(try begin(second, machine: "second").mayLackUnsynced)
        try second.close(now: 0)
        let third = try open()
        #expect(try begin(third, machine: "second").mayLackUnsynced)
        try third.settleLife(machine: "second")
        try third.close(now: 0)
        #expect(try !begin(open(), machine: "second").mayLackUnsynced)
    }

    @Test("a directory of an earlier release, without the file, is taken as it is")
    func earlierRelease() throws {
        let directory = try open()
        let log = try directory.createLog(
            PartitionName(topic: "t", partition: 0), topicId: nil, configuration: Fixture.configuration(), now: 0)
        log.append([Fixture.batch(["a"])], epoch: 0)
        let life = try begin(directory, machine: "first")
        #expect(!life.isNew && !life.mayLackUnsynced)
    }
}
