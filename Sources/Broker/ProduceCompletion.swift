import CommitLog
import KafkaProtocol
import Replication

/// Where an appended batch came from: the reply that waits for its outcome.
struct AppendOrigin {
    /// Kept alive by its loop, also when it closes before the tick's end.
    unowned(unsafe) let connection: Connection
    /// nil with acks=0.
    let place: Connection.ReplyPlace?
    /// Where in the reply the partition's outcome stands: error code, base offset, log append time.
    let position: Int
    let version: Int16
    /// Set with acks=all.
    let pending: PendingProduce?
    let index: Int32
}

/// Completes produce replies with what became of their batches.
enum ProduceCompletion {
    static func finish(_ append: PendingAppend, _ origin: AppendOrigin, leader: PartitionLeader, loop: BrokerLoop) {
        switch append.outcome {
        case .appended(let baseOffset, let time), .duplicate(let baseOffset, let time):
            guard let place = origin.place else { return }
            origin.connection.withReply(at: place) { buffer in
                buffer.writer.patch(baseOffset, at: origin.position + 2)
                if time >= 0 { buffer.writer.patch(time, at: origin.position + 10) }
            }
            guard let pending = origin.pending, let slot = place.slot else { return }
            let waiter = PartitionWaiter(
                offset: baseOffset + Int64(append.header.recordCount), listener: loop,
                connection: origin.connection.id, slot: slot, index: origin.index)
            switch leader.wait(waiter) {
            case .waiting: pending.leaders.append(leader)
            case .over(let result):
                pending.reached(origin.index, result, connection: origin.connection, slot: slot)
            }
        case .refused(let refusal):
            refuse(ErrorCode(refusal), origin, loop: loop)
        case .pending:
            preconditionFailure("the log left a batch without an outcome")
        }
    }

    private static func refuse(_ code: ErrorCode, _ origin: AppendOrigin, loop: BrokerLoop) {
        loop.metrics.failed(.produce, code)
        guard let place = origin.place else {
            origin.connection.close(because: "a produce request with acks=0 was refused: \(code)")
            return
        }
        origin.connection.withReply(at: place) { buffer in
            patchFailure(code, at: origin.position, version: origin.version, in: &buffer)
        }
        if let pending = origin.pending, let slot = place.slot {
            pending.settled(origin.index, connection: origin.connection, slot: slot)
        }
    }

    static func patchFailure(_ code: ErrorCode, at position: Int, version: Int16, in buffer: inout ReplyBuffer) {
        buffer.writer.patch(code.rawValue, at: position)
        buffer.writer.patch(Int64(-1), at: position + 2)
        buffer.writer.patch(Int64(-1), at: position + 10)
        if version >= 5 { buffer.writer.patch(Int64(-1), at: position + 18) }
    }
}

/// A produce request with acks=all, until all its partitions have their records where the topic's durability wants
/// them. Confined to its connection's loop.
final class PendingProduce {
    private struct Partition {
        var position: Int
        var isSettled = false
    }

    private let version: Int16
    private let start: Int64
    private var partitions: [Partition] = []
    private(set) var remaining = 0
    /// Where it waits, so that it can be taken back when it times out.
    var leaders: [PartitionLeader] = []

    init(version: Int16, start: Int64) {
        self.version = version
        self.start = start
    }

    func expect(_ staged: [ProduceHandler.Staged]) {
        // A partition's index is its place among the staged.
        partitions = staged.map { Partition(position: $0.position) }
        remaining = partitions.count
    }

    /// The partition's records are in place, or will not be as far as this node can tell.
    func reached(_ index: Int32, _ result: WaitResult, connection: Connection, slot: UInt64) {
        if let code = ErrorCode(result) { fail(index, with: code, connection: connection, slot: slot) }
        settled(index, connection: connection, slot: slot)
    }

    /// Nothing more will change in the partition's part of the reply.
    func settled(_ index: Int32, connection: Connection, slot: UInt64) {
        guard !partitions[Int(index)].isSettled else { return }
        partitions[Int(index)].isSettled = true
        remaining -= 1
        if remaining == 0 {
            let loop = connection.loop
            loop.metrics.delayed(.produce, nanoseconds: loop.broker.clock.monotonicNanoseconds - start)
            connection.complete(slot)
        }
    }

    /// The request's own time-out: what is not in place by now is not acknowledged.
    func timeOut(connection: Connection, slot: UInt64) {
        for leader in leaders { leader.stopWaiting(connection.loop, connection: connection.id, slot: slot) }
        for index in partitions.indices where !partitions[index].isSettled {
            fail(Int32(index), with: .requestTimedOut, connection: connection, slot: slot)
            settled(Int32(index), connection: connection, slot: slot)
        }
    }

    private func fail(_ index: Int32, with code: ErrorCode, connection: Connection, slot: UInt64) {
        let partition = partitions[Int(index)]
        guard !partition.isSettled else { return }
        connection.loop.metrics.failed(.produce, code)
        connection.withReply(at: Connection.ReplyPlace(slot: slot)) { buffer in
            ProduceCompletion.patchFailure(code, at: partition.position, version: version, in: &buffer)
        }
    }
}
