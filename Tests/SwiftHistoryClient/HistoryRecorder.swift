import Foundation
import MartletClient
import Synchronization

/// A partition as the history names it.
struct Place: Encodable, Hashable {
    let topic: String
    let partition: Int32

    init(_ partition: TopicPartition) {
        topic = partition.topic
        self.partition = partition.partition
    }
}

/// A record that a consumer was given.
struct SeenRecord: Encodable {
    let topic: String
    let partition: Int32
    let offset: Int64
    let value: String
}

/// An event of the history, see `Tests/HistoryChecker/README.md`; what it does not have is nil.
struct HistoryEvent: Encodable {
    var type: String
    var process: String
    var time: [UInt64]?
    var topic: String?
    var partition: Int32?
    var value: String?
    var group: String?
    var offset: Int64?
    var transaction: Int?
    var isolation: String?
    var partitions: [Place]?
    var records: [SeenRecord]?

    init(_ type: String, _ process: String, _ place: TopicPartition? = nil) {
        self.type = type
        self.process = process
        topic = place?.topic
        partition = place?.partition
    }
}

/// Writes what clients do and are told, in the two steps of `Tests/Clients/history.py`: what they ask for before they
/// ask, the answer when it has come. Each line is in the kernel when its call returns, so that a killed process leaves
/// what it had asked for.
final class HistoryRecorder: Sendable {
    enum Outcome: String, Encodable {
        case acknowledged, unknown, committed, aborted
    }

    private struct Answer: Encodable {
        var outcome: Outcome
        var offset: Int64?
    }

    private struct Line: Encodable {
        var number: Int?
        var invoked: UInt64?
        var completed: UInt64?
        var event: HistoryEvent?
        var fields: Answer?
    }

    private struct State {
        let file: FileHandle
        var nextNumber = 0
    }

    private let state: Mutex<State>

    init(path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path]) }
        state = Mutex(State(file: FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)))
    }

    /// Before the client asks; returns what `answered` wants.
    func ask(_ event: HistoryEvent) throws -> Int {
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        try write(Line(number: number, invoked: Self.now(), event: event))
        return number
    }

    func answered(_ number: Int, _ outcome: Outcome, offset: Int64? = nil) throws {
        try write(
            Line(number: number, completed: Self.now(), fields: Answer(outcome: outcome, offset: offset)))
    }

    /// What the client has been given, and when it had asked for that.
    func saw(_ event: HistoryEvent, since: UInt64? = nil) throws {
        let now = Self.now()
        var event = event
        event.time = [since ?? now, now]
        try write(Line(event: event))
    }

    private func write(_ line: Line) throws {
        let text = try JSONEncoder().encode(line) + [UInt8(ascii: "\n")]
        try state.withLock { try $0.file.write(contentsOf: text) }
    }

    /// Nanoseconds of the clock that all processes of the machine share.
    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
