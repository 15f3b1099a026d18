import CoordinatorCore
import KafkaProtocol

extension GroupResponse {
    /// The answer to a request that the shard cannot work on: it is loading, or its log failed.
    package static func failure(
        _ request: GroupRequest, apiVersion: Int16, _ code: ErrorCode
    ) -> GroupResponse {
        switch request {
        case .joinGroup(let request):
            return .joinGroup(.failure(code, memberId: request.memberId))
        case .syncGroup:
            // Clients do not know of loading here. As in Kafka it sends them back to joining, where they wait.
            return .syncGroup(.failure(code == .coordinatorLoadInProgress ? .rebalanceInProgress : code))
        case .heartbeat:
            // Nor here: in Kafka a heartbeat that comes while a group is loaded is taken.
            return .heartbeat(.failure(code == .coordinatorLoadInProgress ? .none : code))
        case .leaveGroup:
            return .leaveGroup(.failure(code))
        case .consumerGroupHeartbeat:
            return .consumerGroupHeartbeat(.failure(GroupError(code)))
        case .offsetCommit(let request):
            return .offsetCommit(.failure(request, code))
        case .offsetFetch(let request):
            return .offsetFetch(.failure(request, apiVersion: apiVersion, code))
        case .offsetDelete:
            return .offsetDelete(.failure(code))
        case .describeGroups(let request):
            return .describeGroups(.failure(request, code))
        case .consumerGroupDescribe(let request):
            return .consumerGroupDescribe(.failure(request, code))
        case .listGroups:
            return .listGroups(.failure(code))
        case .deleteGroups(let request):
            return .deleteGroups(.failure(request, code))
        case .txnOffsetCommit(let request, _):
            return .txnOffsetCommit(.failure(request, code))
        case .endTransaction:
            return .endTransaction(code)
        }
    }

    /// The same answer, withdrawn: the records it spoke of were not written, or were written to a log that is lost.
    package func failed(_ error: ErrorCode) -> GroupResponse {
        let code = AppendError.responseCode(for: error)
        switch self {
        case .joinGroup(let response):
            return .joinGroup(.failure(code, memberId: response.memberId))
        case .syncGroup:
            return .syncGroup(.failure(code))
        case .heartbeat:
            return .heartbeat(.failure(code))
        case .leaveGroup:
            return .leaveGroup(.failure(code))
        case .consumerGroupHeartbeat:
            return .consumerGroupHeartbeat(.failure(GroupError(code)))
        case .offsetCommit(var response):
            let code = AppendError.commitResponseCode(for: error)
            for topic in response.topics.indices {
                for partition in response.topics[topic].partitions.indices {
                    response.topics[topic].partitions[partition].errorCode = code.rawValue
                }
            }
            return .offsetCommit(response)
        case .offsetFetch(let response):
            return .offsetFetch(response.failed(code))
        case .offsetDelete:
            return .offsetDelete(.failure(code))
        case .describeGroups(var response):
            response.groups = response.groups.map { .failure($0.groupId, code) }
            return .describeGroups(response)
        case .consumerGroupDescribe(var response):
            response.groups = response.groups.map { .failure($0.groupId, GroupError(code)) }
            return .consumerGroupDescribe(response)
        case .listGroups:
            return .listGroups(.failure(code))
        case .deleteGroups(var response):
            for index in response.results.indices { response.results[index].errorCode = code.rawValue }
            return .deleteGroups(response)
        case .txnOffsetCommit(let response):
            return .txnOffsetCommit(response.failed(AppendError.commitResponseCode(for: error)))
        case .endTransaction:
            return .endTransaction(code)
        }
    }
}

extension JoinGroupResponse {
    static func failure(_ code: ErrorCode, memberId: String = "") -> JoinGroupResponse {
        var response = JoinGroupResponse()
        response.errorCode = code.rawValue
        response.protocolName = nil
        response.memberId = memberId
        return response
    }
}

extension SyncGroupResponse {
    static func failure(_ code: ErrorCode) -> SyncGroupResponse {
        var response = SyncGroupResponse()
        response.errorCode = code.rawValue
        return response
    }
}

extension HeartbeatResponse {
    static func failure(_ code: ErrorCode) -> HeartbeatResponse {
        var response = HeartbeatResponse()
        response.errorCode = code.rawValue
        return response
    }
}

extension LeaveGroupResponse {
    static func failure(_ code: ErrorCode) -> LeaveGroupResponse {
        var response = LeaveGroupResponse()
        response.errorCode = code.rawValue
        return response
    }
}

extension ConsumerGroupHeartbeatResponse {
    static func failure(_ error: GroupError) -> ConsumerGroupHeartbeatResponse {
        var response = ConsumerGroupHeartbeatResponse()
        response.errorCode = error.code.rawValue
        response.errorMessage = error.message
        return response
    }
}

extension OffsetDeleteResponse {
    static func failure(_ code: ErrorCode) -> OffsetDeleteResponse {
        var response = OffsetDeleteResponse()
        response.errorCode = code.rawValue
        return response
    }
}

extension ListGroupsResponse {
    static func failure(_ code: ErrorCode) -> ListGroupsResponse {
        var response = ListGroupsResponse()
        response.errorCode = code.rawValue
        return response
    }
}

extension DescribeGroupsResponse {
    static func failure(_ request: DescribeGroupsRequest, _ code: ErrorCode) -> DescribeGroupsResponse {
        var response = DescribeGroupsResponse()
        response.groups = request.groups.map { .failure($0, code) }
        return response
    }
}

extension DescribeGroupsResponse.DescribedGroup {
    static func failure(_ groupId: String, _ code: ErrorCode) -> DescribeGroupsResponse.DescribedGroup {
        var group = DescribeGroupsResponse.DescribedGroup()
        group.groupId = groupId
        group.errorCode = code.rawValue
        return group
    }
}

extension ConsumerGroupDescribeResponse {
    static func failure(_ request: ConsumerGroupDescribeRequest, _ code: ErrorCode) -> ConsumerGroupDescribeResponse {
        var response = ConsumerGroupDescribeResponse()
        response.groups = request.groupIds.map { .failure($0, GroupError(code)) }
        return response
    }
}

extension ConsumerGroupDescribeResponse.DescribedGroup {
    static func failure(_ groupId: String, _ error: GroupError) -> ConsumerGroupDescribeResponse.DescribedGroup {
        var group = ConsumerGroupDescribeResponse.DescribedGroup()
        group.groupId = groupId
        group.errorCode = error.code.rawValue
        group.errorMessage = error.message
        return group
    }
}

extension DeleteGroupsResponse {
    static func failure(_ request: DeleteGroupsRequest, _ code: ErrorCode) -> DeleteGroupsResponse {
        var response = DeleteGroupsResponse()
        response.results = request.groupsNames.map { .result($0, code) }
        return response
    }
}

extension DeleteGroupsResponse.DeletableGroupResult {
    static func result(_ groupId: String, _ code: ErrorCode) -> DeleteGroupsResponse.DeletableGroupResult {
        var result = DeleteGroupsResponse.DeletableGroupResult()
        result.groupId = groupId
        result.errorCode = code.rawValue
        return result
    }
}
