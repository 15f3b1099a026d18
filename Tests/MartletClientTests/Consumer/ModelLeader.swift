import KafkaProtocol
import NIOCore
import RecordFormat

@testable import MartletClient

/// A partition's log as all its replicas agree on it, with the epochs of its leaders.
struct ModelPartition {
    struct Batch {
        let baseOffset: Int64
        let nextOffset: Int64
        let epoch: Int32
        let bytes: [UInt8]
    }

    private(set) var batches: [Batch] = []
    private(set) var values: [String] = []
    private(set) var leader: Int32
    private(set) var epoch: Int32 = 0
    private(set) var truncations = 0

    init(leader: Int32) {
        self.leader = leader
    }

    var end: Int64 { Int64(values.count) }

    mutating func append(_ count: Int, compressed: Bool, tag: String) throws {
        var builder = RecordBatchBuilder(
            attributes: [], baseOffset: end, partitionLeaderEpoch: epoch, producerId: -1, producerEpoch: -1)
        let base = end
        for index in 0..<count {
            let value = "\(tag)-\(base + Int64(index))"
            builder.append(key: nil, value: Array(value.utf8), timestamp: 5)
            values.append(value)
        }
        batches.append(Batch(baseOffset: base, nextOffset: end, epoch: epoch, bytes: try builder.build()))
    }

    mutating func elect(_ leader: Int32) {
        self.leader = leader
        epoch += 1
    }

    /// A leader is elected that has not got the last batches.
    mutating func elect(_ leader: Int32, withoutLast count: Int) {
        elect(leader)
        truncations += 1
        for _ in 0..<min(count, batches.count) {
            let batch = batches.removeLast()
            values.removeSubrange(Int(batch.baseOffset)...)
        }
    }

    /// The end of the largest epoch up to `epoch`.
    func endOffset(of epoch: Int32) -> (epoch: Int32, offset: Int64) {
        guard let index = batches.lastIndex(where: { $0.epoch <= epoch }) else { return (-1, -1) }
        return (batches[index].epoch, batches[index].nextOffset)
    }

    func read(from offset: Int64, maximumBytes: Int, atLeastOne: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        for batch in batches where batch.nextOffset > offset {
            if !(bytes.isEmpty && atLeastOne), bytes.count + batch.bytes.count > maximumBytes {
                // A broker may cut the last one off, and sends no part alone.
                if bytes.isEmpty { break }
                bytes += batch.bytes.prefix(max(0, maximumBytes - bytes.count))
                break
            }
            bytes += batch.bytes
        }
        return bytes
    }
}

/// A broker's fetch sessions, as KIP-227 describes them.
struct ModelSessions {
    private struct Session {
        var epoch: Int32
        var partitions: [TopicPartition: FetchPlan.Entry]
    }

    private var sessions: [Int32: Session] = [:]
    private var nextId: Int32 = 1

    /// What the request is about; an error for one that does not fit to its session.
    mutating func entries(_ plan: FetchPlan) -> (error: ErrorCode, id: Int32, entries: [FetchPlan.Entry]) {
        let request = plan.session
        if request.epoch == 0 {
            sessions[request.id] = nil
            let id = nextId
            nextId += 1
            sessions[id] = Session(
                epoch: 1, partitions: Dictionary(uniqueKeysWithValues: plan.entries.map { ($0.name, $0) }))
            return (.none, id, plan.entries)
        }
        guard var session = sessions[request.id] else { return (.fetchSessionIdNotFound, 0, []) }
        guard session.epoch == request.epoch else { return (.invalidFetchSessionEpoch, 0, []) }
        for name in request.forgotten { session.partitions[name] = nil }
        for name in request.partitions {
            session.partitions[name] = plan.entries.first { $0.name == name }
        }
        session.epoch += 1
        sessions[request.id] = session
        return (.none, request.id, session.partitions.values.sorted { $0.name < $1.name })
    }

    mutating func forgetAll() {
        sessions = [:]
    }
}
