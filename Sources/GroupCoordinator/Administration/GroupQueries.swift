import CoordinatorCore
import KafkaProtocol

/// What groups there are and what they look like.
extension GroupCoordinatorShard {
    func describeGroups(_ request: DescribeGroupsRequest, _ context: CoordinatorRequestContext)
        -> DescribeGroupsResponse
    {
        var response = DescribeGroupsResponse()
        response.groups = request.groups.map { groupId in
            if let group = classicGroups[groupId] { return group.described() }
            var absent = DescribeGroupsResponse.DescribedGroup()
            absent.groupId = groupId
            absent.groupState = "Dead"
            // Before version 6 a group that is not there is just dead (KIP-1043).
            if context.apiVersion >= 6 {
                absent.errorCode = ErrorCode.groupIdNotFound.rawValue
                absent.errorMessage =
                    consumerGroups[groupId] == nil
                    ? "Group \(groupId) not found." : "Group \(groupId) is not a classic group."
            }
            return absent
        }
        return response
    }

    func describeConsumerGroups(_ request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse {
        var response = ConsumerGroupDescribeResponse()
        response.groups = request.groupIds.map { groupId in
            if let group = consumerGroups[groupId] { return group.described(topics, configuration) }
            let message =
                classicGroups[groupId] == nil
                ? "Group \(groupId) not found." : "Group \(groupId) is not a consumer group."
            return .failure(groupId, GroupError(.groupIdNotFound, message))
        }
        return response
    }

    /// Filters ignore case; an empty filter lets everything through.
    func listGroups(_ request: ListGroupsRequest) -> ListGroupsResponse {
        let states = Set(request.statesFilter.map { $0.lowercased() })
        let types = Set(request.typesFilter.map { $0.lowercased() })
        var response = ListGroupsResponse()
        func add(_ groupId: String, _ protocolType: String, _ state: String, _ type: String) {
            guard states.isEmpty || states.contains(state.lowercased()) else { return }
            guard types.isEmpty || types.contains(type) else { return }
            var listed = ListGroupsResponse.ListedGroup()
            listed.groupId = groupId
            listed.protocolType = protocolType
            listed.groupState = state
            listed.groupType = type
            response.groups.append(listed)
        }
        for groupId in (Set(classicGroups.keys).union(consumerGroups.keys)).sorted() {
            if let group = classicGroups[groupId] {
                add(groupId, group.protocolType ?? "", group.state.rawValue, "classic")
            } else if let group = consumerGroups[groupId] {
                add(groupId, ClassicGroup.consumerProtocolType, group.state.rawValue, "consumer")
            }
        }
        return response
    }
}
