import CoordinatorCore
import KafkaProtocol

@testable import GroupCoordinator

/// Runs a script that holds its own expected trace. A line that begins with ">" is a step; the lines up to the next
/// step are what the shard did. `run` carries out the steps and returns the script with what really happened, so that a
/// test compares two texts and a person reads one.
///
/// Steps: `at MS`, `topics N…` (partition counts of t0, t1…), `restart`, `hold`, `release`, `fail ERROR`,
/// `join NAME [instance=ID] [topics=t0,t1] [protocols=range,sticky]`, `sync NAME [NAME=TEXT…]`, `heartbeat NAME`,
/// `leave NAME`, `commit NAME TOPIC-PARTITION=OFFSET`, `fetch TOPIC-PARTITION`,
/// `consumer NAME [instance=ID] [topics=…]` (a heartbeat), `consumer-leave NAME [static]`.
final class Scenario {
    private let harness: ShardHarness
    private let start: Int64
    private var classic: [String: ClassicClient] = [:]
    private var consumers: [String: ConsumerClient] = [:]
    private var names: [String: String] = [:]
    private var senders: [RequestToken: String] = [:]
    private var seenActions = 0
    private var output: [String] = []
    /// How the reply to the step itself reads, where the step's caller has already got it.
    private var ownReply: String?

    init(_ configuration: GroupConfiguration = GroupConfiguration()) {
        harness = ShardHarness(configuration)
        start = harness.now
    }

    func run(_ script: String) -> String {
        for line in script.split(separator: "\n", omittingEmptySubsequences: false) where line.hasPrefix("> ") {
            output.append(String(line))
            step(line.dropFirst(2).split(separator: " ").map(String.init))
            trace()
        }
        return output.joined(separator: "\n")
    }

    private func step(_ words: [String]) {
        let name = words.count > 1 ? words[1] : ""
        let options = Dictionary(
            words.dropFirst(2).map { word in
                let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
                return (parts[0], parts.count > 1 ? parts[1] : "")
            }, uniquingKeysWith: { _, last in last })
        switch words[0] {
        case "at": harness.advance(to: start + Int64(name)!)
        case "topics":
            harness.setTopics(
                TopicsImage(
                    words.dropFirst().enumerated().map { index, count in
                        .init(
                            id: Uuid(high: 0, low: UInt64(index + 1)), name: "t\(index)",
                            partitionCount: Int32(count)!)
                    }))
        case "restart": harness.restart()
        case "hold": harness.holdsAppends = true
        case "release":
            harness.holdsAppends = false
            while !harness.held.isEmpty { harness.completeAppend() }
        case "fail": harness.completeAppend(error: ErrorCode.notLeaderOrFollower)
        case "join": join(name, options)
        case "sync":
            let assignments = options.map { (classic[$0.key]!.memberId, Array($0.value.utf8)) }
            send(name) { $0.sync(harness, Dictionary(uniqueKeysWithValues: assignments)) }
        case "heartbeat": ownReply = "\(name) <- Heartbeat \(classic[name]!.heartbeat(harness))"
        case "leave":
            let response = classic[name]!.leave(harness)
            ownReply = "\(name) <- LeaveGroup \(response.members.map { ErrorCode(rawValue: $0.errorCode) })"
        case "commit":
            let (topic, partition, offset) = Self.position(words[2])
            let client = classic[name]
            let error = harness.commit(
                topic: topic, partition: partition, offset: offset!, memberId: client?.memberId ?? name,
                generation: client?.generation ?? consumers[name]!.epoch, instanceId: client?.instanceId)
            ownReply = "\(name) <- OffsetCommit \(error)"
        case "fetch":
            let (topic, partition, _) = Self.position(name)
            ownReply = "OffsetFetch \(harness.fetch(topic: topic, partition: partition))"
        case "consumer": consumer(name, options)
        case "consumer-leave":
            let epoch = words.count > 2 ? MemberEpoch.leaveStatic : MemberEpoch.leave
            ownReply = "\(name) <- " + describe(consumers[name]!.leave(harness, epoch: epoch))
        default: fatalError("unknown step \(words)")
        }
    }

    private static func position(_ text: String) -> (String, Int32, Int64?) {
        let parts = text.split(separator: "=")
        let topic = parts[0].split(separator: "-")
        return (String(topic[0]), Int32(topic[1])!, parts.count > 1 ? Int64(parts[1])! : nil)
    }

    private func join(_ name: String, _ options: [String: String]) {
        var client = classic[name] ?? ClassicClient(name, instanceId: options["instance"])
        if let topics = options["topics"] { client.topics = topics.split(separator: ",").map(String.init) }
        if let protocols = options["protocols"] { client.protocols = protocols.split(separator: ",").map(String.init) }
        classic[name] = client
        send(name) { $0.join(harness) }
    }

    private func send(_ name: String, _ body: (ClassicClient) -> RequestToken) {
        senders[body(classic[name]!)] = name
    }

    private func consumer(_ name: String, _ options: [String: String]) {
        var client = consumers[name] ?? ConsumerClient(name, instanceId: options["instance"])
        if let topics = options["topics"] { client.topics = topics.split(separator: ",").map(String.init) }
        let response = client.heartbeat(harness, full: options["topics"] != nil)
        consumers[name] = client
        ownReply = "\(name) <- " + describe(response)
    }

    // MARK: What happened

    private func trace() {
        let new = harness.actions[seenActions...]
        seenActions = harness.actions.count
        for case .reply(let token, .joinGroup(let response)) in new {
            guard let name = senders[token], !response.memberId.isEmpty else { continue }
            names[response.memberId] = name
            classic[name]!.memberId = response.memberId
            classic[name]!.take(response)
        }
        for action in new {
            switch action {
            case .append(.records(let records), _):
                for record in records { output.append("append " + describe(record)) }
            case .reply(let token, .joinGroup(let response)):
                output.append("\(senders[token]!) <- " + describe(response))
            case .reply(let token, .syncGroup(let response)):
                let error = ErrorCode(rawValue: response.errorCode)
                let assignment = String(decoding: response.assignment, as: UTF8.self)
                output.append("\(senders[token]!) <- SyncGroup \(error == .none ? assignment : "\(error)")")
            case .reply:
                if let line = ownReply { output.append(line) }
                ownReply = nil
            case .append: preconditionFailure("no transactions in scenarios")
            }
        }
    }

    private func alias(_ memberId: String) -> String { names[memberId] ?? memberId }

    private func describe(_ response: JoinGroupResponse) -> String {
        let error = ErrorCode(rawValue: response.errorCode)
        if error != .none { return "JoinGroup \(error)" }
        let members = response.members.map { alias($0.memberId) }.joined(separator: ",")
        return "JoinGroup generation=\(response.generationId) leader=\(alias(response.leader)) members=\(members)"
            + (response.skipAssignment ? " skipAssignment" : "")
    }

    private func describe(_ response: ConsumerGroupHeartbeatResponse) -> String {
        let error = ErrorCode(rawValue: response.errorCode)
        if error != .none { return "ConsumerGroupHeartbeat \(error)" }
        let assignment = response.assignment.map { assignment in
            let set = TopicPartitionSet(assignment.topicPartitions.map { ($0.topicId, $0.partitions) })
            return " assignment=\(set.names.joined(separator: ","))"
        }
        return "ConsumerGroupHeartbeat epoch=\(response.memberEpoch)\(assignment ?? "")"
    }

    private func describe(_ record: CoordinatorRecord) -> String {
        guard case .record(let typed)? = try? GroupRecord.decode(key: record.key, value: record.value) else {
            return "unreadable"
        }
        switch typed {
        case .offsetCommit(let key, let value):
            return "OffsetCommit \(key.topic)-\(key.partition)=\(value.map { "\($0.offset)" } ?? "deleted")"
        case .groupMetadata(_, let value):
            guard let value else { return "GroupMetadata deleted" }
            let members = value.members.map { member in
                "\(alias(member.memberId)):\(String(decoding: member.assignment, as: UTF8.self))"
            }
            return "GroupMetadata generation=\(value.generation) leader=\(value.leader.map(alias) ?? "none") "
                + "members=\(members.sorted().joined(separator: ","))"
        case .consumerGroupMetadata(_, let value):
            return "GroupEpoch \(value.map { "\($0.epoch)" } ?? "deleted")"
        case .consumerGroupPartitionMetadata(_, let value):
            let topics = value?.topics.map { "\($0.topicName)(\($0.numPartitions))" }.joined(separator: ",")
            return "Subscription \(topics ?? "deleted")"
        case .consumerGroupMemberMetadata(let key, let value):
            let topics = value?.subscribedTopicNames.joined(separator: ",")
            return "Member \(key.memberId) \(topics ?? "deleted")"
        case .consumerGroupTargetAssignmentMetadata(_, let value):
            return "TargetEpoch \(value.map { "\($0.assignmentEpoch)" } ?? "deleted")"
        case .consumerGroupTargetAssignmentMember(let key, let value):
            let target = value.map { value in
                TopicPartitionSet(value.topicPartitions.map { ($0.topicId, $0.partitions) }).names
            }
            return "Target \(key.memberId) \(target?.joined(separator: ",") ?? "deleted")"
        case .consumerGroupCurrentMemberAssignment(let key, let value):
            guard let value else { return "Current \(key.memberId) deleted" }
            let assigned = TopicPartitionSet(value.assignedPartitions.map { ($0.topicId, $0.partitions) }).names
            let revoking = TopicPartitionSet(value.partitionsPendingRevocation.map { ($0.topicId, $0.partitions) })
            return "Current \(key.memberId) epoch=\(value.memberEpoch) "
                + "\(ConsumerMemberState(stored: value.state)) \(assigned.joined(separator: ","))"
                + (revoking.isEmpty ? "" : " revoking=\(revoking.names.joined(separator: ","))")
        }
    }
}
