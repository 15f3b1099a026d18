import HistoryChecker
import KafkaProtocol
import MartletClient

/// A group of consumers that come and go.
final class MemberGroup {
    private struct Place {
        var member: GroupMember?
        var lives = 0
    }

    let world: World
    let name: String
    let partitions: [TopicPartition]
    let isolation: IsolationLevel
    let isConsumerProtocol: Bool
    let rebalanceSeconds: Int64 = 8
    let commitMilliseconds: Double
    /// Members have no names of their own.
    let isDynamic: Bool
    private let strategies: [PartitionAssignmentStrategy]
    private let firstNumber: Int
    private let pace: Double
    private var places: [Place]
    private var isDisturbed = true
    private var isStopped = false
    private(set) var ownership: GroupOwnership

    init(_ world: World, _ firstNumber: Int, _ partitions: [TopicPartition], isConsumerProtocol: Bool) {
        let timeline = world.timeline
        self.world = world
        self.firstNumber = firstNumber
        self.partitions = partitions
        self.isConsumerProtocol = isConsumerProtocol
        name = isConsumerProtocol ? "consumers" : "classics"
        isolation = timeline.pick([.readCommitted, .readUncommitted])
        commitMilliseconds = timeline.pick([200, 1000])
        isDynamic = timeline.chance(0.7)
        strategies = timeline.pick([[.range], [.cooperativeSticky], [.sticky], [.range, .cooperativeSticky]])
        pace = timeline.pick([2000, 8000])
        places = Array(repeating: Place(), count: 3)
        ownership = GroupOwnership(name, world)
    }

    private var timeline: Timeline { world.timeline }
    var topics: Set<String> { Set(partitions.map(\.topic)) }

    func instanceId(of member: GroupMember) -> String? {
        isDynamic ? nil : places.firstIndex { $0.member === member }.map { "\(name)-\($0)" }
    }

    // MARK: Members come and go

    func start() {
        for place in places.indices {
            timeline.after(timeline.between(0, 5000), "member-starts") { [self] in start(place) }
        }
        disturb()
    }

    private func start(_ place: Int) {
        guard places[place].member == nil, !isStopped else { return }
        places[place].lives += 1
        var configuration = GroupMembershipConfiguration(groupId: name)
        configuration.groupInstanceId = isDynamic ? nil : "\(name)-\(place)"
        configuration.groupProtocol = isConsumerProtocol ? .consumer : .classic
        configuration.strategies = strategies
        configuration.sessionTimeout = .seconds(4)
        configuration.heartbeatInterval = .seconds(1)
        configuration.rebalanceTimeout = .seconds(rebalanceSeconds)
        configuration.metadataMaximumAge = .seconds(20)
        let seed = timeline.random.next()
        let machine: any MembershipMachine
        if isConsumerProtocol {
            var generator = timeline.random
            let id = Uuid.random(using: &generator).description
            timeline.random = generator
            machine = ConsumerMembership(configuration, memberId: id, backoff: Backoff(), seed: seed)
        } else {
            machine = ClassicMembership(configuration, backoff: Backoff(), seed: seed)
        }
        let member = GroupMember(
            self, "\(name)-\(place).\(places[place].lives)", firstNumber + place, machine
        ) { [self] in
            places[place].member = nil
            timeline.after(timeline.between(100, 10_000), "member-starts") { [self] in start(place) }
        }
        places[place].member = member
        world.count("members")
        member.join()
    }

    private func disturb() {
        timeline.after(timeline.between(pace / 4, pace * 2), "member-trouble") { [self] in
            guard isDisturbed else { return }
            if let member = timeline.pick(places).member {
                switch Int.random(in: 0..<6, using: &timeline.random) {
                case 0...1:
                    world.count("members die")
                    member.end()
                case 2...3:
                    world.count("members leave")
                    member.leave()
                case 4:
                    world.count("members do not poll")
                    member.handle(.pollTimedOut)
                    timeline.after(timeline.between(100, 8000), "polled") { member.handle(.polled) }
                default:
                    world.count("rebalances asked for")
                    member.handle(.rebalanceWanted)
                }
            }
            disturb()
        }
    }

    /// From now on all members stay.
    func calm() { isDisturbed = false }

    func stop() {
        isStopped = true
        for place in places.indices { places[place].member?.end() }
    }

    // MARK: What is seen

    func told(_ partition: TopicPartition, _ offset: Int64?, by node: Int32, to process: String, _ time: Interval) {
        world.invariants.committedOffset(offset ?? 0, of: name, partition)
        // Who coordinated before and does not know it yet may tell what was true then, as with Kafka.
        guard world.invariants.isCoordinator(node, of: name) else { return }
        world.history.record(process, time: time, .offsetFetch(OffsetFetch(name, partition, offset: offset)))
    }

    /// What is not yet as it must be when nothing disturbs the group any more; nil when all is.
    func unsettled() -> String? {
        for place in places.indices where places[place].member == nil { return "\(name)-\(place) is not there" }
        for partition in partitions {
            guard let owner = ownership.owner(of: partition),
                let member = places.lazy.compactMap(\.member).first(where: { $0.process == owner })
            else { return "\(partition) belongs to nobody, or to several, in \(name)" }
            let end = world.invariants.committedEnd(of: partition)
            guard member.committed[partition] == end else {
                return "\(owner) has committed \(member.committed[partition] ?? -1) of \(end) in \(partition)"
            }
        }
        return nil
    }
}
