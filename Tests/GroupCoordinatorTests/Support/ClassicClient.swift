import CoordinatorCore
import KafkaProtocol

@testable import GroupCoordinator

/// A client's side of the classic protocol, as far as it remembers anything.
struct ClassicClient {
    var groupId = "group"
    var clientId: String
    var memberId = ""
    var instanceId: String?
    var generation: Int32 = -1
    var leader = ""
    var protocols = ["range"]
    var topics = ["t0"]
    var protocolType = "consumer"
    var sessionTimeoutMs: Int32 = 10_000
    var rebalanceTimeoutMs: Int32 = 60_000
    var version: Int16 = 9

    init(_ clientId: String, instanceId: String? = nil) {
        self.clientId = clientId
        self.instanceId = instanceId
    }

    /// The consumer protocol's subscription, version 0.
    static func subscription(_ topics: [String]) -> [UInt8] {
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = topics
        return [0, 0] + subscription.encoded(version: 0)
    }

    func join(_ harness: ShardHarness) -> RequestToken {
        var request = JoinGroupRequest()
        request.groupId = groupId
        request.memberId = memberId
        request.groupInstanceId = instanceId
        request.protocolType = protocolType
        request.sessionTimeoutMs = sessionTimeoutMs
        request.rebalanceTimeoutMs = rebalanceTimeoutMs
        request.protocols = protocols.map { name in
            var supported = JoinGroupRequest.JoinGroupRequestProtocol()
            supported.name = name
            supported.metadata = Self.subscription(topics)
            return supported
        }
        return harness.send(.joinGroup(request), version: version, clientId: clientId)
    }

    /// Joins, and once more with the id that it was given.
    mutating func joinWithId(_ harness: ShardHarness) -> RequestToken {
        let token = join(harness)
        guard case .joinGroup(let response)? = harness.replies[token],
            response.errorCode == ErrorCode.memberIdRequired.rawValue
        else { return token }
        memberId = response.memberId
        return join(harness)
    }

    mutating func take(_ response: JoinGroupResponse?) {
        guard let response, response.errorCode == 0 else { return }
        memberId = response.memberId
        generation = response.generationId
        leader = response.leader
    }

    func sync(
        _ harness: ShardHarness, _ assignments: [String: [UInt8]] = [:], protocolName: String? = nil
    ) -> RequestToken {
        var request = SyncGroupRequest()
        request.groupId = groupId
        request.generationId = generation
        request.memberId = memberId
        request.groupInstanceId = instanceId
        request.protocolType = protocolName == nil ? nil : protocolType
        request.protocolName = protocolName
        request.assignments = assignments.sorted { $0.key < $1.key }.map { memberId, bytes in
            var assignment = SyncGroupRequest.SyncGroupRequestAssignment()
            assignment.memberId = memberId
            assignment.assignment = bytes
            return assignment
        }
        return harness.send(.syncGroup(request), version: 5, clientId: clientId)
    }

    func heartbeat(_ harness: ShardHarness) -> ErrorCode {
        var request = HeartbeatRequest()
        request.groupId = groupId
        request.generationId = generation
        request.memberId = memberId
        request.groupInstanceId = instanceId
        let token = harness.send(.heartbeat(request), version: 4, clientId: clientId)
        return ErrorCode(rawValue: harness.heartbeat(token)!.errorCode)
    }

    func leave(_ harness: ShardHarness) -> LeaveGroupResponse {
        var request = LeaveGroupRequest()
        request.groupId = groupId
        var identity = LeaveGroupRequest.MemberIdentity()
        identity.memberId = memberId
        identity.groupInstanceId = instanceId
        request.members = [identity]
        let token = harness.send(.leaveGroup(request), version: 5, clientId: clientId)
        guard case .leaveGroup(let response)? = harness.replies[token] else { fatalError("no reply") }
        return response
    }
}

extension ShardHarness {
    func join(_ token: RequestToken) -> JoinGroupResponse? {
        guard case .joinGroup(let response)? = replies[token] else { return nil }
        return response
    }

    func sync(_ token: RequestToken) -> SyncGroupResponse? {
        guard case .syncGroup(let response)? = replies[token] else { return nil }
        return response
    }

    func heartbeat(_ token: RequestToken) -> HeartbeatResponse? {
        guard case .heartbeat(let response)? = replies[token] else { return nil }
        return response
    }

    func joinError(_ token: RequestToken) -> ErrorCode? { join(token).map { ErrorCode(rawValue: $0.errorCode) } }
    func syncError(_ token: RequestToken) -> ErrorCode? { sync(token).map { ErrorCode(rawValue: $0.errorCode) } }

    /// Brings clients into one stable generation; the leader assigns each its client id as bytes.
    func stabilize(_ clients: inout [ClassicClient]) {
        let tokens = clients.indices.map { clients[$0].joinWithId(self) }
        while join(tokens[0]) == nil, let deadline = shard.nextDeadline { advance(to: max(deadline, now)) }
        for (index, token) in tokens.enumerated() { clients[index].take(join(token)) }
        let assignments = Dictionary(uniqueKeysWithValues: clients.map { ($0.memberId, Array($0.clientId.utf8)) })
        for client in clients {
            let token = client.sync(self, client.memberId == client.leader ? assignments : [:])
            _ = token
        }
    }

    func describe(_ groupId: String = "group") -> DescribeGroupsResponse.DescribedGroup {
        var request = DescribeGroupsRequest()
        request.groups = [groupId]
        let token = send(.describeGroups(request), version: 6)
        guard case .describeGroups(let response)? = replies[token] else { fatalError("no reply") }
        return response.groups[0]
    }
}
