import MartletClient
import Synchronization
import TestSupport

/// What a client of the load has done so far, for whoever watches it.
struct Progress: Encodable {
    /// Grows as long as the client gets on.
    var rounds = 0
    /// Sessions or memberships.
    var lives = 1
    var sent = 0
    var seen = 0
    var committed = 0
    var aborted = 0
    var unknown = 0
    /// Calls that failed as they may when a broker is away or a group rebalances.
    var refused = 0
    /// The last of them.
    var refusal: String?
    /// What must not happen.
    var problem: String?
}

/// Does something again and again until told to stop, and records it.
protocol LoadClient: AnyObject, Sendable {
    var common: LoadContext { get }
    func run() async throws
}

/// What a client of the load works with.
final class LoadContext: Sendable {
    let name: String
    let topic: String
    let partitions: Range<Int32>
    let recorder: HistoryRecorder
    let connecting: Connecting
    private let stopping = Atomic(false)
    private let state: Mutex<(progress: Progress, chance: SeededGenerator)>

    init(
        name: String, topic: String, partitions: Int32, recorder: HistoryRecorder, connecting: Connecting, seed: UInt64
    ) {
        self.name = name
        self.topic = topic
        self.partitions = 0..<partitions
        self.recorder = recorder
        self.connecting = connecting
        state = Mutex((Progress(), SeededGenerator(seed: seed)))
    }

    var isStopping: Bool { stopping.load(ordering: .relaxed) }
    func stop() { stopping.store(true, ordering: .relaxed) }

    var progress: Progress { state.withLock { $0.progress } }

    func note(_ change: (inout Progress) -> Void) {
        state.withLock { change(&$0.progress) }
    }

    func fail(_ error: any Error) {
        note { $0.problem = $0.problem ?? "\(error)" }
    }

    func draw<Value>(_ choose: (inout SeededGenerator) -> Value) -> Value {
        state.withLock { choose(&$0.chance) }
    }

    func event(_ type: String, _ process: String, _ partition: Int32) -> HistoryEvent {
        HistoryEvent(type, process, TopicPartition(topic, partition))
    }
}
