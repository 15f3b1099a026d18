import Broker
import ClusterMetadata
import CommitLog
import Foundation
import HistoryChecker
import KafkaProtocol
import Logging
import RecordFormat
import Replication

/// What must hold at every moment, looked at from outside.
final class Invariants {
    /// Between two looks, in events.
    private static let interval = 64

    /// A topic whose records are acknowledged when the page caches have them.
    static let cachedTopic = "cached"

    /// A batch as it lies in a log.
    struct Batch: Equatable {
        var base: Int64
        var next: Int64
        var epoch: Int32
        var crc: UInt32
    }

    private struct Claim: Hashable {
        var partition: TopicPartition
        var epoch: Int32
    }

    private struct Copy: Hashable {
        var partition: TopicPartition
        var life: Int
    }

    private struct TopicEntry: Decodable {
        var partitions: [PartitionMetadata]
    }

    private struct BrokerEntry: Decodable {
        var isShuttingDown: Bool
    }

    private unowned let world: World
    private var events = 0
    private var stopping: Set<Int32> = []
    /// Which life led a partition in an epoch.
    private var leaders: [Claim: Int] = [:]
    /// What is committed, as whoever showed it first had it.
    private var committed: [TopicPartition: [Batch]] = [:]
    private var ends: [TopicPartition: Int64] = [:]
    private var topicEntries: [String: [PartitionMetadata]] = [:]
    /// How far a copy was compared.
    private var compared: [Copy: (epoch: Int32, index: Int)] = [:]
    private var producers: Set<String> = []
    /// Topics that somebody asked to delete.
    private var deletable: Set<String> = []

    init(_ world: World) {
        self.world = world
    }

    /// The end of what is known to be committed.
    func committedEnd(of partition: TopicPartition) -> Int64 { ends[partition] ?? 0 }

    // MARK: What clients were told

    func shown(_ partition: TopicPartition, _ highWatermark: Int64) {
        ends[partition] = max(committedEnd(of: partition), highWatermark)
    }

    func acknowledged(_ partition: TopicPartition, below offset: Int64) {
        ends[partition] = max(committedEnd(of: partition), offset)
    }

    func outOfRange(_ partition: TopicPartition, _ offset: Int64, by name: String) {
        world.fail("\(name) was shown \(partition) up to \(offset), which is now out of range")
    }

    func committedOffset(_ offset: Int64, of group: String, _ partition: TopicPartition) {
        guard offset > committedEnd(of: partition) else { return }
        world.fail(
            "\(group) stands at \(offset) in \(partition), of which \(committedEnd(of: partition)) records are committed"
        )
    }

    func producerIdGiven(_ id: Int64, _ epoch: Int16) {
        if !producers.insert("\(id)/\(epoch)").inserted {
            world.fail("producer id \(id) epoch \(epoch) was given twice")
        }
    }

    func logged(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, by node: Int32) {
        guard level == .critical else { return }
        // The disk failed because it was made to.
        if message == "log.sync-failed" || message == "cluster.out-of-service" { return }
        world.fail("node \(node) logs \(message) \(metadata.sorted { $0.key < $1.key })")
    }

    // MARK: The metadata

    func metadataChanged(_ changes: [MetadataChange]) {
        topicsDeleted(changes)
        for case .put(let entry) in changes where entry.key.hasPrefix(MetadataKey.brokerPrefix) {
            guard let node = Int32(entry.key.dropFirst(MetadataKey.brokerPrefix.count)),
                let broker = try? JSONDecoder().decode(BrokerEntry.self, from: Data(entry.value))
            else { continue }
            if broker.isShuttingDown { stopping.insert(node) } else { stopping.remove(node) }
        }
        for case .put(let entry) in changes where entry.key.hasPrefix(MetadataKey.topicPrefix) {
            let name = String(entry.key.dropFirst(MetadataKey.topicPrefix.count))
            guard let topic = try? JSONDecoder().decode(TopicEntry.self, from: Data(entry.value)) else {
                world.fail("the metadata of \(name) cannot be read")
                continue
            }
            if let before = topicEntries[name] { compare(before, topic.partitions, name) }
            topicEntries[name] = topic.partitions
            guard name == Self.cachedTopic else { continue }
            for (index, partition) in topic.partitions.enumerated() {
                exposed[index]?.formIntersection(partition.inSyncReplicas)
            }
        }
    }

    // MARK: Page caches

    /// In-sync replicas of `cachedTopic` whose power failed while they were in sync, until they are said not to be.
    private var exposed: [Int: Set<Int32>] = [:]

    /// Whether one of them may still be taken for one that has everything.
    var isExposed: Bool { exposed.values.contains { !$0.isEmpty } }

    /// Whether several are in sync everywhere.
    var cachedIsInSync: Bool {
        (topicEntries[Self.cachedTopic] ?? []).allSatisfy { $0.inSyncReplicas.count > 1 }
    }

    func lostPower(_ node: Int32) {
        for (index, partition) in (topicEntries[Self.cachedTopic] ?? []).enumerated()
        where partition.inSyncReplicas.contains(node) { exposed[index, default: []].insert(node) }
    }

    /// Somebody asks for it, now.
    func mayBeDeleted(_ topic: String) { deletable.insert(topic) }

    private func topicsDeleted(_ changes: [MetadataChange]) {
        for case .deleted(let key) in changes where key.hasPrefix(MetadataKey.topicPrefix) {
            let name = String(key.dropFirst(MetadataKey.topicPrefix.count))
            topicEntries[name] = nil
            world.count("topics deleted")
            if !deletable.contains(name) { world.fail("\(name) was deleted, which nobody asked for") }
        }
    }

    private func compare(_ before: [PartitionMetadata], _ after: [PartitionMetadata], _ topic: String) {
        for (index, (old, new)) in zip(before, after).enumerated() where old != new {
            let name = "\(topic)-\(index)"
            world.note(
                "\(name): leader \(new.leader) epoch \(new.leaderEpoch) in sync \(new.inSyncReplicas) version \(new.partitionEpoch)"
            )
            if new.leaderEpoch < old.leaderEpoch || new.partitionEpoch <= old.partitionEpoch {
                world.fail("the epochs of \(name) fall: \(old), then \(new)")
            }
            if new.leader != old.leader, new.leader >= 0 {
                world.count("elections")
                if new.leaderEpoch == old.leaderEpoch { world.fail("\(name) has a new leader in the same epoch") }
                // Who leads while it stops, or is to be moved away, may have others join and take over in one step.
                let mayJoinAndLead = stopping.contains(old.leader) || old.isReassigned
                if !old.inSyncReplicas.contains(new.leader), !mayJoinAndLead {
                    world.fail("\(name) is led by \(new.leader), which was not in sync: \(old), then \(new)")
                }
            }
            if new.inSyncReplicas.isEmpty { world.fail("\(name) has nobody in sync") }
        }
    }

    // MARK: The logs

    func step() {
        events += 1
        if events % Self.interval == 0 { look() }
    }

    private func look() {
        for node in world.nodes {
            guard let life = node.life, life.isServing, !life.broker.logs.health.isOffline else { continue }
            for topic in life.broker.topics.topics.values {
                for case let leader? in topic.leaders {
                    let partition = TopicPartition(topic.name, leader.partition)
                    let claim = Claim(partition: partition, epoch: leader.leaderEpoch)
                    if let other = leaders[claim] {
                        if other != life.number, !sameNode(other, life) {
                            world.fail("\(partition) has two leaders in epoch \(leader.leaderEpoch)")
                        }
                    } else {
                        leaders[claim] = life.number
                        lifeNodes[life.number] = node.id
                    }
                    examine(leader.log, partition, epoch: leader.leaderEpoch, life, isLeader: true)
                }
                for case let follower? in topic.followers {
                    examine(
                        follower.log, TopicPartition(topic.name, follower.partition), epoch: follower.leaderEpoch, life,
                        isLeader: false)
                }
            }
        }
    }

    private var lifeNodes: [Int: Int32] = [:]

    /// A node that starts again may go on in its epoch.
    private func sameNode(_ other: Int, _ life: Life) -> Bool { lifeNodes[other] == life.node.id }

    private struct Reign: Hashable {
        var copy: Copy
        var epoch: Int32
    }

    /// How far a life has shown a partition to be committed while it led it in an epoch.
    private var shownWatermarks: [Reign: Int64] = [:]

    private func watermarkIs(_ highWatermark: Int64, _ copy: Copy, epoch: Int32, _ life: Life) {
        let reign = Reign(copy: copy, epoch: epoch)
        if let before = shownWatermarks[reign], before > highWatermark {
            world.fail(
                "\(copy.partition): the high watermark of node \(life.node.id) falls from \(before) to \(highWatermark) "
                    + "in epoch \(epoch)")
        }
        shownWatermarks[reign] = highWatermark
    }

    private var latestEpoch: [TopicPartition: Int32] = [:]

    private func examine(_ log: Log, _ partition: TopicPartition, epoch: Int32, _ life: Life, isLeader: Bool) {
        let highWatermark = log.highWatermark
        let copy = Copy(partition: partition, life: life.number)
        if isLeader { watermarkIs(highWatermark, copy, epoch: epoch, life) }
        var known = committed[partition] ?? []
        var place = compared[copy] ?? (epoch: epoch, index: 0)
        // With another role all of it is looked at again, because it may have been cut.
        let isNew = place.epoch != epoch
        if isNew { place = (epoch: epoch, index: 0) }
        if isLeader, compared[copy] == nil || isNew, epoch >= latestEpoch[partition] ?? 0 {
            latestEpoch[partition] = epoch
            if log.endOffset < committedEnd(of: partition), !isOutdated(partition, epoch) {
                world.fail(
                    "\(partition): node \(life.node.id) leads in epoch \(epoch) with \(log.endOffset) of "
                        + "\(committedEnd(of: partition)) committed records")
            }
        }
        let knownEnd = known.last?.next ?? 0
        let limit = isLeader && isNew ? max(highWatermark, min(log.endOffset, knownEnd)) : highWatermark
        let start = place.index < known.count ? known[place.index].base : knownEnd
        guard start < limit else {
            compared[copy] = place
            return
        }
        for batch in Self.batches(of: log, from: max(start, log.startOffset), upTo: limit) {
            if place.index < known.count {
                if known[place.index] != batch, !(isLeader && isOutdated(partition, epoch)) {
                    world.fail(
                        "\(partition): node \(life.node.id) has \(batch), but \(known[place.index]) is committed "
                            + "(epoch \(epoch), leader \(isLeader), high watermark \(highWatermark))")
                    break
                }
            } else if batch.next <= highWatermark {
                known.append(batch)
            } else {
                break
            }
            place.index += 1
        }
        committed[partition] = known
        if let last = known.last { ends[partition] = max(committedEnd(of: partition), last.next) }
        compared[copy] = place
    }

    /// Whether the metadata names the node, and the node knows.
    func isLeader(_ node: Int32, of partition: TopicPartition) -> Bool {
        guard let entry = topicEntries[partition.topic]?[Int(partition.partition)], entry.leader == node else {
            return false
        }
        return role(partition.topic, Int(partition.partition), node)?.leader(of: partition.partition)?.leaderEpoch
            == entry.leaderEpoch
    }

    func isCoordinator(_ node: Int32, of group: String) -> Bool {
        let hash = group.utf16.reduce(Int32(0)) { $0 &* 31 &+ Int32($1) } & 0x7FFF_FFFF
        return isLeader(node, of: TopicPartition("__consumer_offsets", hash % Life.offsetPartitions))
    }

    /// Whether the metadata has a later epoch: such a leader commits nothing more, and has yet to learn of it.
    private func isOutdated(_ partition: TopicPartition, _ epoch: Int32) -> Bool {
        guard let entries = topicEntries[partition.topic], entries.indices.contains(Int(partition.partition)) else {
            return false
        }
        return entries[Int(partition.partition)].leaderEpoch > epoch
    }

    static func batches(of log: Log, from start: Int64, upTo limit: Int64) -> [Batch] {
        var batches: [Batch] = []
        var offset = start
        while offset < limit {
            guard let slice = try? log.read(from: offset, maxBytes: 1 << 16, minOneBatch: true, upTo: limit),
                slice.length > 0
            else { return batches }
            var bytes = [UInt8](repeating: 0, count: slice.length)
            let before = offset
            bytes.withUnsafeMutableBytes { memory in
                guard let count = try? log.copy(slice, into: memory) else { return }
                var position = 0
                while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: memory[position..<count])),
                    header.totalLength <= count - position
                {
                    position += header.totalLength
                    // A read begins with the batch that holds the offset.
                    if header.nextOffset > offset, header.lastOffset < limit {
                        batches.append(
                            Batch(
                                base: header.baseOffset, next: header.nextOffset, epoch: header.partitionLeaderEpoch,
                                crc: header.crc))
                        offset = header.nextOffset
                    }
                }
            }
            if offset == before { return batches }
        }
        return batches
    }

    // MARK: The end

    /// What is not yet as it must be when nothing disturbs the cluster any more; nil when all is. `targets` are the replicas
    /// that partitions were moved to last.
    func unsettled(_ targets: [TopicPartition: [Int32]]) -> String? {
        for node in world.nodes where !node.isHealthy { return "node \(node.id) is not up" }
        for (topic, partitions) in topicEntries.sorted(by: { $0.key < $1.key }) {
            for (index, partition) in partitions.enumerated() {
                let name = "\(topic)-\(index)"
                if partition.isReassigned { return "\(name) is still being moved" }
                if let target = targets[TopicPartition(topic, Int32(index))], target != partition.replicas {
                    return "\(name) is on \(partition.replicas), not \(target)"
                }
                if partition.leader < 0 { return "\(name) has no leader" }
                if Set(partition.inSyncReplicas) != Set(partition.replicas) {
                    return "\(name) has only \(partition.inSyncReplicas) in sync"
                }
                guard let leader = role(topic, index, partition.leader)?.leader(of: Int32(index)) else {
                    return "\(name) is not led by \(partition.leader)"
                }
                let end = leader.log.endOffset
                if leader.highWatermark != end { return "\(name) is committed to \(leader.highWatermark) of \(end)" }
                if leader.log.lastStableOffset != end {
                    return "\(name) has an open transaction at \(leader.log.lastStableOffset) of \(end)"
                }
                for replica in partition.replicas where replica != partition.leader {
                    guard let follower = role(topic, index, replica)?.follower(of: Int32(index)) else {
                        return "\(name) is not followed by \(replica)"
                    }
                    if follower.log.endOffset != end || follower.highWatermark != end {
                        return
                            "\(name) has \(follower.highWatermark) of \(follower.log.endOffset) on \(replica), not \(end)"
                    }
                }
            }
        }
        return nil
    }

    private func role(_ topic: String, _ partition: Int, _ node: Int32) -> Topic? {
        world.node(node)?.life?.broker.topics.topic(named: topic)
    }

    /// All copies, whole.
    func compareAll() {
        for (topic, partitions) in topicEntries.sorted(by: { $0.key < $1.key }) {
            for (index, partition) in partitions.enumerated() {
                var first: [Batch]?
                for replica in partition.replicas {
                    guard
                        let log = role(topic, index, replica)?.logs.first(where: { $0.name.partition == Int32(index) })
                    else { continue }
                    let batches = Self.batches(of: log, from: log.startOffset, upTo: log.endOffset)
                    if let first, first != batches { world.fail("the copies of \(topic)-\(index) differ") }
                    first = batches
                }
                let name = TopicPartition(topic, Int32(index))
                let known = committed[name] ?? []
                if let first, Array(first.prefix(known.count)) != known {
                    world.fail("\(name) lost what was committed")
                }
            }
        }
    }
}
