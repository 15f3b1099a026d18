import HistoryChecker
import KafkaProtocol

/// Does what operators do while everything else goes on: moves partitions, has leaders elected, alters configurations,
/// makes and deletes topics.
final class Administrator: Client {
    private static let coordinatorTopics = ["__consumer_offsets", "__transaction_state"]

    private let topics: [String]
    private let partitionsPerTopic: Int32
    private let pace: Double
    private var isWaiting = false
    /// Where partitions are to be in the end, as far as that is certain.
    private(set) var targets: [TopicPartition: [Int32]] = [:]
    /// Those with a request whose fate is not known: it may be carried out at any time.
    private var doubtful: Set<TopicPartition> = []
    private var extra: String?
    private var extras = 0

    init(_ world: World, _ number: Int, topics: [String], partitionsPerTopic: Int32) {
        self.topics = topics
        self.partitionsPerTopic = partitionsPerTopic
        pace = world.timeline.pick([1000, 4000, 15_000])
        super.init(world, "administrator", number)
    }

    var isIdle: Bool { !isWaiting }

    func start() {
        timeline.after(timeline.between(pace / 4, pace * 2), "administer") { [self] in
            guard !isStopping else { return }
            isWaiting = true
            let done = { [self] in
                isWaiting = false
                start()
            }
            switch Int.random(in: 0..<10, using: &timeline.random) {
            case 0...4: reassign(done)
            case 5: cancel(done)
            case 6: elect(done)
            case 7: alterConfiguration(done)
            default: if let extra { delete(extra, done) } else { create(done) }
            }
        }
    }

    private func pickPartition() -> TopicPartition {
        let topic = timeline.chance(0.7) ? timeline.pick(topics) : timeline.pick(Self.coordinatorTopics)
        let count = topics.contains(topic) ? partitionsPerTopic : Life.offsetPartitions
        return TopicPartition(topic, Int32.random(in: 0..<count, using: &timeline.random))
    }

    private func tell(_ work: String, _ code: Int16?) {
        let told = code.map { "\(ErrorCode(rawValue: $0))" } ?? "nothing"
        world.count(code == 0 ? work : "\(work): \(told)")
        world.note("\(name) \(work) and is told \(told)")
    }

    // MARK: Replicas

    private func reassign(_ completion: @escaping () -> Void) {
        let partition = pickPartition()
        // Two are the fewest that acks=all is content with.
        let count = timeline.chance(0.2) ? 2 : 3
        let replicas = Array(world.nodes.map(\.id).shuffled(using: &timeline.random).prefix(count))
        alter(partition, replicas) { [self] in
            if timeline.chance(0.3) { alter(partition, nil, completion) } else { completion() }
        }
    }

    private func cancel(_ completion: @escaping () -> Void) { alter(pickPartition(), nil, completion) }

    private func alter(_ partition: TopicPartition, _ replicas: [Int32]?, _ completion: @escaping () -> Void) {
        var request = AlterPartitionReassignmentsRequest()
        request.timeoutMs = 5000
        request.topics = [AlterPartitionReassignmentsRequest.ReassignableTopic()]
        request.topics[0].name = partition.topic
        request.topics[0].partitions = [AlterPartitionReassignmentsRequest.ReassignablePartition()]
        request.topics[0].partitions[0].partitionIndex = partition.partition
        request.topics[0].partitions[0].replicas = replicas
        let work = replicas.map { "moves \(partition) to \($0)" } ?? "cancels the move of \(partition)"
        world.note("\(name) \(work)")
        ask(anyNode(), request, 1) { [self] response in
            let code = response.map { response in
                response.errorCode != 0
                    ? response.errorCode : response.responses.first?.partitions.first?.errorCode ?? response.errorCode
            }
            tell(replicas == nil ? "cancels a move" : "moves a partition", code)
            if code == 0 {
                // Where it was before, after a cancellation, is for the cluster to know.
                targets[partition] = doubtful.contains(partition) ? nil : replicas
            } else if code == nil || code.map({ Self.isRetriable(ErrorCode(rawValue: $0)) }) == true {
                doubtful.insert(partition)
                targets[partition] = nil
            }
            completion()
        }
    }

    // MARK: Leaders

    private func elect(_ completion: @escaping () -> Void) {
        var request = ElectLeadersRequest()
        request.electionType = 0
        request.timeoutMs = 5000
        if timeline.chance(0.5) {
            let partition = pickPartition()
            request.topicPartitions = [ElectLeadersRequest.TopicPartitions()]
            request.topicPartitions![0].topic = partition.topic
            request.topicPartitions![0].partitions = [partition.partition]
        } else {
            request.topicPartitions = nil
        }
        ask(anyNode(), request, 2) { [self] response in
            let codes = response?.replicaElectionResults.flatMap(\.partitionResult).map(\.errorCode) ?? []
            let code = response.map { $0.errorCode != 0 ? $0.errorCode : codes.first { $0 == 0 } ?? codes.first ?? 0 }
            tell("elects preferred leaders", code)
            completion()
        }
    }

    // MARK: Topics

    private func alterConfiguration(_ completion: @escaping () -> Void) {
        var request = IncrementalAlterConfigsRequest()
        request.resources = [IncrementalAlterConfigsRequest.AlterConfigsResource()]
        request.resources[0].resourceType = 2
        request.resources[0].resourceName = timeline.pick(topics)
        request.resources[0].configs = [IncrementalAlterConfigsRequest.AlterableConfig()]
        request.resources[0].configs[0].name = "segment.bytes"
        request.resources[0].configs[0].configOperation = 0
        request.resources[0].configs[0].value = timeline.pick(["1000", "5000", "100000"])
        ask(anyNode(), request, 1) { [self] response in
            tell("alters a topic", response?.responses.first?.errorCode)
            completion()
        }
    }

    private func create(_ completion: @escaping () -> Void) {
        extras += 1
        let topic = "extra-\(extras)"
        extra = topic
        var request = CreateTopicsRequest()
        request.timeoutMs = 5000
        var entry = CreateTopicsRequest.CreatableTopic()
        entry.name = topic
        entry.numPartitions = Int32.random(in: 1...3, using: &timeline.random)
        entry.replicationFactor = 3
        request.topics = [entry]
        ask(anyNode(), request, 5) { [self] response in
            tell("creates a topic", response?.topics.first?.errorCode)
            completion()
        }
    }

    private func delete(_ topic: String, _ completion: @escaping () -> Void) {
        world.invariants.mayBeDeleted(topic)
        var request = DeleteTopicsRequest()
        request.timeoutMs = 5000
        request.topicNames = [topic]
        ask(anyNode(), request, 5) { [self] response in
            let code = response?.responses.first?.errorCode
            tell("deletes a topic", code)
            if code == 0 || code == ErrorCode.unknownTopicOrPartition.rawValue { extra = nil }
            completion()
        }
    }
}
