import CommitLog
import CoordinatorCore
import GroupCoordinator
import KafkaProtocol
import RecordFormat
import Testing

@testable import Broker

/// The groups' coordinator over a log that is compacted, restarted and has rules of its own: what the coordinator
/// writes the log takes, and what it reads again is what it knew.
private final class Driver {
    let disk: SimulatedFileSystem
    let partition = PartitionName(topic: "__consumer_offsets", partition: 0)
    private let configuration: LogConfiguration
    private var directory: LogDirectory?
    private(set) var log: Log?
    private var machine: GroupCoordinatorShard?
    var random: SplitMix64
    var now: Int64 = 1_000_000
    private var lastReply: GroupResponse?
    private(set) var compactions = 0
    private(set) var refusals = 0
    private let topics = TopicsImage([TopicsImage.Topic(id: Uuid(high: 0, low: 1), name: "t", partitionCount: 4)])

    init(seed: UInt64) throws {
        disk = SimulatedFileSystem(seed: seed)
        random = SplitMix64(seed: seed)
        var configuration = LogConfiguration()
        configuration.segmentBytes = 2000
        configuration.preallocationChunkBytes = 0
        configuration.cleanupPolicy = .compact
        configuration.minimumCleanableDirtyRatio = 0
        configuration.deleteRetentionMilliseconds = 200
        configuration.producerIdExpirationMilliseconds = 100_000
        configuration.fileDeleteDelayMilliseconds = 0
        self.configuration = configuration
        try open()
    }

    private func open() throws {
        let opened = try LogDirectory.open(
            .init(
                path: "data", fileSystem: disk, clusterId: "c", nodeId: 1,
                configuration: { [configuration] _ in configuration }, now: now))
        directory = opened.directory
        let log =
            try opened.directory.log(partition)
            ?? opened.directory.createLog(partition, topicId: nil, configuration: configuration, now: now)
        log.updateHighWatermark(log.endOffset)
        self.log = log
        try load()
    }

    func load() throws {
        let log = try #require(log)
        var groups = GroupConfiguration()
        groups.producerIdExpirationMs = configuration.producerIdExpirationMilliseconds
        var machine = GroupCoordinatorShard(groups, for: log)
        var actions: [GroupAction] = []
        machine.topicsChanged(topics, now: now, into: &actions)
        try CoordinatorLog(log).replay(into: &machine)
        now += 1
        machine.finishLoading(now: now, into: &actions)
        self.machine = machine
        carryOut(actions)
    }

    func restart(clean: Bool) throws {
        if clean { try directory?.close(now: now) } else { try log?.sync() }
        log = nil
        directory = nil
        disk.restartProcess()
        try open()
    }

    func compact() throws {
        let log = try #require(log)
        try log.sync()
        try directory?.writeCheckpoints()
        if try LogCleaner(offsetMapBytes: 1 << 16).clean(log, now: now) != nil { compactions += 1 }
    }

    func send(_ request: GroupRequest, version: Int16) -> GroupResponse? {
        var actions: [GroupAction] = []
        lastReply = nil
        machine?.handle(
            request, token: RequestToken(rawValue: 1),
            context: CoordinatorRequestContext(apiVersion: version, clientId: "c", clientHost: "h"), now: now,
            using: &random, into: &actions)
        carryOut(actions)
        return lastReply
    }

    func advance(by milliseconds: Int64) {
        now += milliseconds
        log?.expireProducers(now: now)
        var actions: [GroupAction] = []
        machine?.advance(now: now, into: &actions)
        carryOut(actions)
    }

    private func carryOut(_ actions: [GroupAction]) {
        for action in actions {
            switch action {
            case .reply(_, let response): lastReply = response
            case .append(let batch, let token):
                guard let log else { return }
                let bytes = batch.encoded(now: now)
                let outcome = bytes.withUnsafeBytes { memory -> AppendOutcome in
                    guard let header = RecordBatchHeader(memory) else { return .pending }
                    var appends = [PendingAppend(header: header, bytes: memory, permission: batch.permission)]
                    log.append(&appends, leaderEpoch: 0, now: now)
                    return appends[0].outcome
                }
                guard case .appended = outcome else {
                    Issue.record("the log does not take what the coordinator wrote: \(outcome), \(batch)")
                    return
                }
                log.updateHighWatermark(log.endOffset)
                var more: [GroupAction] = []
                machine?.appended(token, error: nil, now: now, into: &more)
                carryOut(more)
            }
        }
    }

    // MARK: Requests

    func commit(_ group: String, _ partition: Int32, _ offset: Int64) {
        var single = OffsetCommitRequest.OffsetCommitRequestPartition()
        single.partitionIndex = partition
        single.committedOffset = offset
        var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
        topic.name = "t"
        topic.partitions = [single]
        var request = OffsetCommitRequest()
        request.groupId = group
        request.topics = [topic]
        _ = send(.offsetCommit(request), version: 9)
    }

    func commit(_ group: String, _ partition: Int32, _ offset: Int64, by producer: Int64, epoch: Int16) {
        guard let machine else { return }
        var single = TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()
        single.partitionIndex = partition
        single.committedOffset = offset
        var topic = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()
        topic.name = "t"
        topic.partitions = [single]
        var request = TxnOffsetCommitRequest()
        request.groupId = group
        request.producerId = producer
        request.producerEpoch = epoch
        request.topics = [topic]
        let reply = send(.txnOffsetCommit(request, guard: machine.transactionGuard), version: 3)
        if case .txnOffsetCommit(let response)? = reply, response.topics[0].partitions[0].errorCode != 0 {
            refusals += 1
        }
    }

    func end(_ end: TransactionEnd) {
        if case .endTransaction(let code)? = send(.endTransaction(end), version: 1), code != .none { refusals += 1 }
    }

    func deleteGroup(_ group: String) {
        var request = DeleteGroupsRequest()
        request.groupsNames = [group]
        _ = send(.deleteGroups(request), version: 2)
    }

    /// The offsets, and which of them may change: for each partition the offset and the error of a stable read.
    func view() -> [String] {
        var lines: [String] = []
        for group in ["a", "b", "c"] {
            for requireStable in [false, true] {
                var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
                topic.name = "t"
                topic.partitionIndexes = [0, 1, 2, 3]
                var asked = OffsetFetchRequest.OffsetFetchRequestGroup()
                asked.groupId = group
                asked.topics = [topic]
                var request = OffsetFetchRequest()
                request.groups = [asked]
                request.requireStable = requireStable
                guard case .offsetFetch(let response)? = send(.offsetFetch(request), version: 9) else { continue }
                for partition in response.groups[0].topics[0].partitions {
                    lines.append(
                        "\(group)-\(partition.partitionIndex) \(requireStable): \(partition.committedOffset), "
                            + "\(partition.errorCode)")
                }
            }
        }
        return lines
    }
}

@Suite struct TransactionalOffsetLogTests {
    @Test(arguments: UInt64(1)...25) func theCoordinatorAndItsLogAgree(seed: UInt64) throws {
        let driver = try Driver(seed: seed)
        var epochs: [Int64: Int16] = [:]
        var coordinatorEpochs: [Int64: Int32] = [:]
        for step in 0..<300 {
            driver.now += 3
            let group = ["a", "b", "c"].randomElement(using: &driver.random) ?? "a"
            let partition = Int32.random(in: 0..<4, using: &driver.random)
            let producer = Int64.random(in: 1...5, using: &driver.random)
            // Now and then one that was fenced, or the next one before the last has ended.
            let epoch = max(
                0, epochs[producer, default: 2] + Int16([-1, 0, 0, 0, 0, 1].randomElement(using: &driver.random) ?? 0))
            switch Int.random(in: 0..<100, using: &driver.random) {
            case ..<25: driver.commit(group, partition, Int64(step))
            case ..<60:
                driver.commit(group, partition, Int64(step), by: producer, epoch: epoch)
                epochs[producer] = max(epoch, epochs[producer, default: 0])
            case ..<85:
                let coordinatorEpoch = max(
                    0,
                    coordinatorEpochs[producer, default: 1]
                        + Int32([-1, 0, 0, 1].randomElement(using: &driver.random) ?? 0))
                let version = Int16([0, 2].randomElement(using: &driver.random) ?? 0)
                let endEpoch = epoch + (version == 2 && Bool.random(using: &driver.random) ? 1 : 0)
                driver.end(
                    TransactionEnd(
                        producerId: producer, producerEpoch: endEpoch,
                        isCommit: Int.random(in: 0..<3, using: &driver.random) > 0,
                        coordinatorEpoch: coordinatorEpoch, transactionVersion: version))
                epochs[producer] = max(endEpoch, epochs[producer, default: 0])
                coordinatorEpochs[producer] = max(coordinatorEpoch, coordinatorEpochs[producer, default: 0])
            case ..<87: driver.deleteGroup(group)
            case ..<90: driver.advance(by: 250)
            case ..<91: driver.advance(by: 250_000)
            case ..<96:
                // Nothing beyond an open transaction is compacted.
                for id in Int64(1)...5 where Int.random(in: 0..<4, using: &driver.random) > 0 {
                    epochs[id, default: 2] += 1
                    driver.end(
                        TransactionEnd(
                            producerId: id, producerEpoch: epochs[id, default: 2], isCommit: true,
                            coordinatorEpoch: coordinatorEpochs[id, default: 1], transactionVersion: 2))
                }
                if Bool.random(using: &driver.random) { driver.advance(by: 250) }
                let before = driver.view()
                try driver.compact()
                try driver.load()
                #expect(driver.view() == before, "seed \(seed), step \(step): compacted")
            default:
                let before = driver.view()
                try driver.restart(clean: Bool.random(using: &driver.random))
                #expect(driver.view() == before, "seed \(seed), step \(step): restarted")
            }
        }
        #expect(driver.compactions > 0 && driver.refusals > 10)
    }
}
