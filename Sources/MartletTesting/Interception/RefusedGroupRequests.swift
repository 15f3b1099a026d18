import Broker
import GroupCoordinator
import KafkaProtocol

extension JoinGroupRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .joinGroup(self) }
    static func response(_ response: GroupResponse) -> JoinGroupResponse? {
        if case .joinGroup(let response) = response { response } else { nil }
    }
}

extension SyncGroupRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .syncGroup(self) }
    static func response(_ response: GroupResponse) -> SyncGroupResponse? {
        if case .syncGroup(let response) = response { response } else { nil }
    }
}

extension HeartbeatRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .heartbeat(self) }
    static func response(_ response: GroupResponse) -> HeartbeatResponse? {
        if case .heartbeat(let response) = response { response } else { nil }
    }
}

extension LeaveGroupRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .leaveGroup(self) }
    static func response(_ response: GroupResponse) -> LeaveGroupResponse? {
        if case .leaveGroup(let response) = response { response } else { nil }
    }
}

extension ConsumerGroupHeartbeatRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .consumerGroupHeartbeat(self) }
    static func response(_ response: GroupResponse) -> ConsumerGroupHeartbeatResponse? {
        if case .consumerGroupHeartbeat(let response) = response { response } else { nil }
    }
}

extension OffsetCommitRequest: RefusableGroupRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topics.map { broker.topicName($0.name, $0.topicId) }
    }

    var groupRequest: GroupRequest { .offsetCommit(self) }
    static func response(_ response: GroupResponse) -> OffsetCommitResponse? {
        if case .offsetCommit(let response) = response { response } else { nil }
    }
}

extension OffsetFetchRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .offsetFetch(self) }
    static func response(_ response: GroupResponse) -> OffsetFetchResponse? {
        if case .offsetFetch(let response) = response { response } else { nil }
    }
}

extension OffsetDeleteRequest: RefusableGroupRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topics.map(\.name)
    }

    var groupRequest: GroupRequest { .offsetDelete(self) }
    static func response(_ response: GroupResponse) -> OffsetDeleteResponse? {
        if case .offsetDelete(let response) = response { response } else { nil }
    }
}

extension DescribeGroupsRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .describeGroups(self) }
    static func response(_ response: GroupResponse) -> DescribeGroupsResponse? {
        if case .describeGroups(let response) = response { response } else { nil }
    }
}

extension ConsumerGroupDescribeRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .consumerGroupDescribe(self) }
    static func response(_ response: GroupResponse) -> ConsumerGroupDescribeResponse? {
        if case .consumerGroupDescribe(let response) = response { response } else { nil }
    }
}

extension ListGroupsRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .listGroups(self) }
    static func response(_ response: GroupResponse) -> ListGroupsResponse? {
        if case .listGroups(let response) = response { response } else { nil }
    }
}

extension DeleteGroupsRequest: RefusableGroupRequest {
    var groupRequest: GroupRequest { .deleteGroups(self) }
    static func response(_ response: GroupResponse) -> DeleteGroupsResponse? {
        if case .deleteGroups(let response) = response { response } else { nil }
    }
}
