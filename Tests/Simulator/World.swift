import Broker
import ClusterMetadata
import CommitLog
import HistoryChecker
import KafkaProtocol
import Logging
import TestSupport

/// What one run is like.
package struct SimulationOptions: Sendable {
    package var seed: UInt64
    /// Nodes of the cluster; nil leaves it to the seed.
    package var brokers: Int32?
    /// Virtual nanoseconds of disturbance; healing comes after.
    package var duration: Int64
    package var plant: PlantedBug?
    /// Prints every log line as it comes.
    package var isTraced = false

    package init(seed: UInt64, seconds: Double) {
        self.seed = seed
        // So that the duration that `command` names is the same to the nanosecond.
        duration = Int64((seconds * 1e9).rounded())
    }

    /// What does the same again.
    package var command: String {
        var command = "martlet-sim --seed \(seed) --minutes \(Double(duration) / 60e9)"
        if let brokers { command += " --brokers \(brokers)" }
        if let plant { command += " --plant \(plant.rawValue)" }
        return command
    }
}

/// What came of a run.
package struct SimulationResult: Sendable {
    package var seed: UInt64
    /// What is wrong; empty when nothing is.
    package var violations: [String]
    package var lastLines: [String]
    package var hash: UInt64
    package var events: Int
    package var virtualSeconds: Double
    /// Counts of what happened, to see that something did.
    package var counts: [String: Int]
}

/// A cluster, its clients, and what goes wrong with them.
final class World: @unchecked Sendable {
    static let listener = "PLAINTEXT"
    private static let keptLines = 400

    let options: SimulationOptions
    let timeline: Timeline
    let habits: Habits
    let etcd: SimulatedEtcd
    let plant: Plant
    private(set) var network: SimulatedNetwork!
    private(set) var nodes: [SimulatedNode] = []
    private(set) var invariants: Invariants!
    var history = History()
    private(set) var violations: [String] = []
    private(set) var lastLines: [String] = []
    var counts: [String: Int] = [:]
    /// Whose wires may be cut.
    var clients: [Int] = []
    private var nextLife = 0
    /// Lives that are over: what they left behind may still be looked at.
    private var graveyard: [Life] = []

    init(_ options: SimulationOptions) {
        self.options = options
        timeline = Timeline(seed: options.seed)
        habits = Habits(timeline)
        plant = Plant(options.plant)
        etcd = SimulatedEtcd(timeline, ignoresConditions: plant.ignoresConditions)
        network = SimulatedNetwork(self)
        nodes = (1...(options.brokers ?? timeline.pick([3, 3, 3, 4, 5]))).map { SimulatedNode(self, $0) }
        invariants = Invariants(self)
        etcd.onChange = { [unowned self] in invariants.metadataChanged($0) }
        timeline.onLivelock = { [unowned self] in fail("something goes round in circles: \($0)") }
        timeline.afterEvent = { [unowned self] in invariants.step() }
    }

    func node(_ id: Int32) -> SimulatedNode? { nodes.first { $0.id == id } }

    func makeLifeNumber() -> Int {
        nextLife += 1
        return nextLife
    }

    /// Whatever stops from now on is started again.
    var isHealing = false
    private var values: Int64 = 0
    private var transactions = 0

    func nextValue() -> Int64 {
        values += 1
        return values
    }

    func nextTransaction() -> Int {
        transactions += 1
        return transactions
    }

    func bury(_ life: Life) { graveyard.append(life) }

    var hasFailed: Bool { !violations.isEmpty }

    func fail(_ violation: String) {
        note("VIOLATION \(violation)")
        guard violations.count < 20 else { return }
        violations.append(violation)
    }

    func count(_ name: String, _ amount: Int = 1) { counts[name, default: 0] += amount }

    func note(_ line: @autoclosure () -> String) {
        let seconds = Double(timeline.now / 1_000_000) / 1000
        let text = "\(seconds) \(line())"
        timeline.note(text)
        if options.isTraced { print(text) }
        lastLines.append(text)
        if lastLines.count > 2 * Self.keptLines { lastLines.removeFirst(Self.keptLines) }
    }
}

/// How fast and how reliable the world of one run is.
final class Habits {
    private let timeline: Timeline
    private let slowNetwork: Double
    private let slowSync: Double
    private let slowNews: Double
    let lostEtcdAnswers: Double

    init(_ timeline: Timeline) {
        self.timeline = timeline
        slowNetwork = timeline.pick([0, 0.001, 0.02])
        slowSync = timeline.pick([0, 0.01, 0.1])
        slowNews = timeline.pick([0, 0.02, 0.2])
        lostEtcdAnswers = timeline.pick([0, 0.005, 0.05])
    }

    func taskDelay() -> Int64 { timeline.chance(0.005) ? timeline.between(0, 20) : timeline.between(0.001, 0.1) }
    func latency() -> Int64 { timeline.chance(slowNetwork) ? timeline.between(5, 300) : timeline.between(0.05, 1) }
    func syncDelay() -> Int64 { timeline.chance(slowSync) ? timeline.between(10, 1000) : timeline.between(0.1, 4) }
    func etcdDelay() -> Int64 { timeline.chance(slowNews) ? timeline.between(5, 200) : timeline.between(0.2, 2) }
    func newsDelay() -> Int64 { timeline.chance(slowNews) ? timeline.between(10, 2000) : timeline.between(0.2, 3) }
}
