import Broker
import HistoryChecker
import KafkaProtocol

/// The client's own type has the same name.
typealias TopicPartition = HistoryChecker.TopicPartition

/// What all clients do: find who leads what, and ask.
class Client {
    /// Replies come in the order of the requests, so that what waits for others has a connection of its own.
    enum Purpose {
        case ordinary, rebalance
    }

    private struct Wire: Hashable {
        var node: Int32
        var purpose: Purpose
    }

    let world: World
    let name: String
    private let place: Place
    private var channels: [Wire: SimulatedChannel] = [:]
    private var leaders: [TopicPartition: Int32] = [:]
    /// No new work is begun.
    var isStopping = false

    init(_ world: World, _ name: String, _ number: Int) {
        self.world = world
        self.name = name
        place = .client(number)
        if !world.clients.contains(number) { world.clients.append(number) }
    }

    var timeline: Timeline { world.timeline }
    /// For the history, in microseconds.
    var time: Int { Int(timeline.now / 1000) }

    func anyNode() -> Int32 { timeline.pick(world.nodes).id }

    func ask<Request: ProtocolRequest>(
        _ node: Int32, _ request: Request, _ version: Int16, timeout: Int64 = 4000,
        on purpose: Purpose = .ordinary, _ completion: @escaping (Request.Response?) -> Void
    ) {
        var writer = ByteWriter()
        writer.write(Request.apiKey.rawValue)
        writer.write(version)
        writer.write(Int32(0))
        writer.nullableString(name, flexible: false)
        if version >= Request.firstFlexibleVersion { writer.noTaggedFields() }
        request.encode(to: &writer, version: version)
        let wire = Wire(node: node, purpose: purpose)
        let channel = channels[wire] ?? SimulatedChannel(world, from: place, life: nil, to: node)
        channels[wire] = channel
        nonisolated(unsafe) let completion = completion
        let world = world
        channel.send(writer.bytes, timeoutMilliseconds: timeout) { outcome in
            guard case .reply(let bytes) = outcome else { return completion(nil) }
            do {
                let start = version >= Request.firstFlexibleVersion ? 5 : 4
                completion(try Request.Response.decode(Array(bytes[start...]), version: version))
            } catch {
                world.fail("a reply to \(Request.self) cannot be read: \(error)")
                completion(nil)
            }
        }
    }

    /// Ends connections at once: what has not arrived does not arrive any more.
    func hangUp(_ purposes: Purpose...) {
        let ended = channels.filter { purposes.contains($0.key.purpose) }.sorted { $0.key.node < $1.key.node }
        for (wire, _) in ended { channels[wire] = nil }
        for (_, channel) in ended { channel.hangUp() }
    }

    // MARK: Who leads

    func leader(of partition: TopicPartition) -> Int32? { leaders[partition] }

    func forgetLeader(of partition: TopicPartition) { leaders[partition] = nil }

    /// Calls back with the leader, found out if need be; nil when that failed.
    func findLeader(of partition: TopicPartition, _ completion: @escaping (Int32?) -> Void) {
        if let leader = leaders[partition] { return completion(leader) }
        var request = MetadataRequest()
        request.allowAutoTopicCreation = false
        request.topics = [MetadataRequest.MetadataRequestTopic()]
        request.topics![0].name = partition.topic
        ask(anyNode(), request, 12) { [self] response in
            for topic in response?.topics ?? [] {
                for entry in topic.partitions where entry.leaderId > 0 {
                    leaders[TopicPartition(partition.topic, entry.partitionIndex)] = entry.leaderId
                }
            }
            completion(leaders[partition])
        }
    }

    /// The node that coordinates a group (type 0) or transactional id (type 1); nil when nobody says so now.
    func findCoordinator(of key: String, type: Int8, _ completion: @escaping (Int32?) -> Void) {
        var request = FindCoordinatorRequest()
        request.keyType = type
        request.coordinatorKeys = [key]
        ask(anyNode(), request, 4) { response in
            guard let coordinator = response?.coordinators.first, coordinator.errorCode == 0 else {
                return completion(nil)
            }
            completion(coordinator.nodeId)
        }
    }

    // MARK: Trying again

    /// Runs `attempt` until it calls back with true or the time is up, and tells which.
    func retry(
        until deadline: Int64, _ attempt: @escaping (@escaping (Bool) -> Void) -> Void,
        _ completion: @escaping (Bool) -> Void
    ) {
        attempt { [self] isDone in
            if isDone { return completion(true) }
            guard timeline.now < deadline else { return completion(false) }
            timeline.after(timeline.between(20, 200), "client-retry") { [self] in
                retry(until: deadline, attempt, completion)
            }
        }
    }

    static func isRetriable(_ code: ErrorCode) -> Bool {
        switch code {
        case .notLeaderOrFollower, .leaderNotAvailable, .unknownTopicOrPartition, .notEnoughReplicas,
            .notEnoughReplicasAfterAppend, .requestTimedOut, .networkException, .kafkaStorageError,
            .fencedLeaderEpoch, .unknownLeaderEpoch, .coordinatorLoadInProgress, .coordinatorNotAvailable,
            .notCoordinator, .concurrentTransactions, .offsetNotAvailable, .notController, .unstableOffsetCommit,
            .replicaNotAvailable:
            true
        default: false
        }
    }
}
