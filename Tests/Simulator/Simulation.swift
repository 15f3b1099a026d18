import HistoryChecker
import KafkaProtocol

/// One run: a cluster is made, used and disturbed, then left in peace, and judged.
package struct Simulation {
    /// In which the cluster must be whole again.
    private static let healing: Int64 = .seconds(90)
    private static let partitionsPerTopic: Int32 = 2

    /// What `SimulationResult.counts` has in runs enough: every kind of fault, and every kind of work.
    package static let events =
        Nemesis.Trouble.allCases.map { "\($0)" } + [
            "reloads of etcd", "numbers taken back", "committed", "aborted", "assignments", "partitions lost",
            "partitions revoked", "members die", "members leave", "members do not poll", "rebalances asked for",
            "moves a partition", "cancels a move", "elects preferred leaders", "alters a topic", "creates a topic",
            "deletes a topic",
        ]

    private let world: World
    private let nemesis: Nemesis
    private var producers: [IdempotentProducer] = []
    private var transactional: [TransactionalProducer] = []
    private var readers: [Reader] = []
    private var groups: [GroupClient] = []
    private var memberGroups: [MemberGroup] = []
    private var administrator: Administrator!
    private var topics: [(name: String, settings: [(String, String)])] = []

    package static func run(_ options: SimulationOptions) -> SimulationResult {
        var simulation = Simulation(options)
        return simulation.run()
    }

    private init(_ options: SimulationOptions) {
        world = World(options)
        nemesis = Nemesis(world)
        var settings = [("min.insync.replicas", "2")]
        // Small segments make snapshots of producers often.
        if let size = world.timeline.pick([nil, 2000, 20_000]) { settings.append(("segment.bytes", "\(size)")) }
        topics = [("synced", settings)]
        if nemesis.powerFailures != .any {
            topics.append((Invariants.cachedTopic, settings + [("durability", "page-cache")]))
        }
    }

    private var timeline: Timeline { world.timeline }

    private var partitions: [TopicPartition] {
        topics.flatMap { topic in (0..<Self.partitionsPerTopic).map { TopicPartition(topic.name, $0) } }
    }

    private mutating func run() -> SimulationResult {
        let world = world
        for node in world.nodes { node.start() }
        createTopics()
        makeClients()
        nemesis.start()
        let end = timeline.now + world.options.duration
        timeline.run(until: end) { world.hasFailed }
        if !world.hasFailed { heal() }
        if !world.hasFailed { judge() }
        for (event, amount) in world.counts.sorted(by: { $0.key < $1.key }) { world.note("\(event): \(amount)") }
        return SimulationResult(
            seed: world.options.seed, violations: world.violations, lastLines: world.lastLines, hash: timeline.hash,
            events: timeline.eventCount, virtualSeconds: Double(timeline.now) / 1e9, counts: world.counts)
    }

    // MARK: Making

    private func createTopics() {
        let client = Client(world, "admin", 0)
        for topic in topics {
            var request = CreateTopicsRequest()
            request.timeoutMs = 5000
            var entry = CreateTopicsRequest.CreatableTopic()
            entry.name = topic.name
            entry.numPartitions = Self.partitionsPerTopic
            entry.replicationFactor = 3
            entry.configs = (topic.settings + world.plant.topicConfiguration).map { name, value in
                var configuration = CreateTopicsRequest.CreatableTopicConfig()
                configuration.name = name
                configuration.value = value
                return configuration
            }
            request.topics = [entry]
            client.retry(until: .max) { done in
                client.ask(client.anyNode(), request, 5) { response in
                    let code = response?.topics.first.map { ErrorCode(rawValue: $0.errorCode) }
                    done(code == ErrorCode.none || code == .topicAlreadyExists)
                }
            } _: { _ in
            }
        }
        // Coordinators' topics are made when somebody asks for them.
    }

    private mutating func makeClients() {
        var number = 0
        func next() -> Int {
            number += 1
            return number
        }
        producers = (0..<2).map { _ in IdempotentProducer(world, next(), partitions) }
        transactional = (0..<2).map { _ in TransactionalProducer(world, next(), partitions) }
        readers = [
            Reader(world, next(), partitions, .readUncommitted), Reader(world, next(), partitions, .readCommitted),
        ]
        groups = [GroupClient(world, next(), partitions)]
        for producer in transactional { groups[0].watched.append((producer.group, producer.source)) }
        memberGroups = [false, true].map { isNew in
            number += 10
            return MemberGroup(world, number, partitions, isConsumerProtocol: isNew)
        }
        for group in memberGroups { groups[0].watched += partitions.map { (group.name, $0) } }
        for producer in producers { producer.start() }
        for producer in transactional { producer.start() }
        for reader in readers { reader.start() }
        for group in groups { group.start() }
        for group in memberGroups { group.start() }
        administrator = Administrator(
            world, next(), topics: topics.map(\.name), partitionsPerTopic: Self.partitionsPerTopic)
        administrator.start()
    }

    // MARK: The end

    private func heal() {
        let world = world
        nemesis.end()
        for client in producers { client.isStopping = true }
        for client in transactional { client.isStopping = true }
        for client in groups { client.isStopping = true }
        for group in memberGroups { group.calm() }
        administrator.isStopping = true
        let deadline = timeline.now + Self.healing
        var trouble: String?
        while timeline.now < deadline, !world.hasFailed {
            timeline.run(until: timeline.now + .milliseconds(500)) { world.hasFailed }
            trouble =
                producers.allSatisfy(\.isIdle) && transactional.allSatisfy(\.isIdle) && groups.allSatisfy(\.isIdle)
                    && administrator.isIdle
                ? world.invariants.unsettled(administrator.targets) : "clients still wait"
            for group in memberGroups where trouble == nil { trouble = group.unsettled() }
            if trouble == nil { break }
        }
        for group in memberGroups { group.stop() }
        for reader in readers { reader.isStopping = true }
        if let trouble { world.fail("\(Self.healing / 1_000_000_000) seconds after all was mended: \(trouble)") }
    }

    private func judge() {
        let world = world
        var open = 2
        Reader(world, 90, partitions, .readCommitted).readAll { open -= 1 }
        groups[0].fetchAll { open -= 1 }
        let deadline = timeline.now + .seconds(60)
        timeline.run(until: deadline) { open == 0 || world.hasFailed }
        if open > 0 { return world.fail("the final reads do not end") }
        world.invariants.compareAll()
        do {
            for anomaly in try world.history.anomalies() { world.fail("\(anomaly)") }
        } catch {
            world.fail("the history makes no sense: \(error)")
        }
        world.count("history", world.history.events.count)
    }
}
