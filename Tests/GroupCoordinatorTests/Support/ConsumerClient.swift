import KafkaProtocol

@testable import GroupCoordinator

/// A client's side of the consumer protocol: it gives up partitions when it is told to, with its next heartbeat.
struct ConsumerClient {
    var groupId = "group"
    var memberId: String
    var instanceId: String?
    var epoch: Int32 = 0
    var topics: [String]? = ["t0"]
    var regex: String?
    var assignor: String?
    var owned: TopicPartitionSet = .empty
    var version: Int16 = 1
    var lastError: ErrorCode = .none
    var rebalanceTimeoutMs: Int32 = 30_000

    init(_ memberId: String, instanceId: String? = nil) {
        self.memberId = memberId
        self.instanceId = instanceId
    }

    func request(full: Bool) -> ConsumerGroupHeartbeatRequest {
        var request = ConsumerGroupHeartbeatRequest()
        request.groupId = groupId
        request.memberId = memberId
        request.memberEpoch = epoch
        request.instanceId = instanceId
        if full {
            request.rebalanceTimeoutMs = rebalanceTimeoutMs
            request.subscribedTopicNames = topics
            request.subscribedTopicRegex = regex
            request.serverAssignor = assignor
        }
        request.topicPartitions = owned.sorted.map { topicId, partitions in
            var topic = ConsumerGroupHeartbeatRequest.TopicPartitions()
            topic.topicId = topicId
            topic.partitions = partitions
            return topic
        }
        return request
    }

    /// Joins when it has no epoch.
    @discardableResult
    mutating func heartbeat(_ harness: ShardHarness, full: Bool = false) -> ConsumerGroupHeartbeatResponse {
        if epoch == 0 { owned = .empty }
        let response = harness.consumerHeartbeat(request(full: full || epoch == 0), version: version)
        take(response)
        return response
    }

    mutating func take(_ response: ConsumerGroupHeartbeatResponse) {
        lastError = ErrorCode(rawValue: response.errorCode)
        switch lastError {
        case .none:
            memberId = response.memberId ?? memberId
            epoch = response.memberEpoch
            if let assignment = response.assignment {
                owned = TopicPartitionSet(assignment.topicPartitions.map { ($0.topicId, $0.partitions) })
            }
        case .fencedMemberEpoch, .unknownMemberId, .groupIdNotFound:
            epoch = 0
            owned = .empty
        default:
            break
        }
    }

    @discardableResult
    mutating func leave(
        _ harness: ShardHarness, epoch leaveEpoch: Int32 = MemberEpoch.leave
    ) -> ConsumerGroupHeartbeatResponse {
        var request = ConsumerGroupHeartbeatRequest()
        request.groupId = groupId
        request.memberId = memberId
        request.memberEpoch = leaveEpoch
        request.instanceId = instanceId
        let response = harness.consumerHeartbeat(request, version: version)
        epoch = 0
        owned = .empty
        return response
    }

    /// The partitions as "t0-1", sorted.
    var ownedNames: [String] { owned.names }
}

extension TopicPartitionSet {
    /// For the topics of `TopicsImage.numbered`.
    var names: [String] {
        sorted.flatMap { topicId, partitions in partitions.map { "t\(topicId.low - 1)-\($0)" } }
    }
}

extension ShardHarness {
    func consumerHeartbeat(
        _ request: ConsumerGroupHeartbeatRequest, version: Int16 = 1
    ) -> ConsumerGroupHeartbeatResponse {
        let token = send(.consumerGroupHeartbeat(request), version: version)
        guard case .consumerGroupHeartbeat(let response)? = replies[token] else { fatalError("no reply") }
        return response
    }

    /// Heartbeats of all until nothing changes any more; returns how many rounds that took.
    @discardableResult
    func settle(_ clients: inout [ConsumerClient]) -> Int {
        for round in 1...50 {
            let before = clients.map { ($0.epoch, $0.owned) }
            for index in clients.indices { clients[index].heartbeat(self) }
            let isSettled = zip(before, clients).allSatisfy { $0.0 == $1.epoch && $0.1 == $1.owned }
            if isSettled { return round }
        }
        return .max
    }

    func describeConsumer(_ groupId: String = "group") -> ConsumerGroupDescribeResponse.DescribedGroup {
        var request = ConsumerGroupDescribeRequest()
        request.groupIds = [groupId]
        let token = send(.consumerGroupDescribe(request), version: 0)
        guard case .consumerGroupDescribe(let response)? = replies[token] else { fatalError("no reply") }
        return response.groups[0]
    }
}
