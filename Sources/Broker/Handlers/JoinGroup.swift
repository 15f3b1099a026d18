import GroupCoordinator
import KafkaProtocol

/// JoinGroup: a member enters a classic group, or its rebalance.
enum JoinGroupHandler: RequestHandler {
    typealias Request = JoinGroupRequest

    static func handle(_ request: JoinGroupRequest, _ context: RequestContext) -> HandlerOutcome<JoinGroupResponse> {
        context.toShard(of: request.groupId, in: context.groups, .joinGroup(request)) { response in
            guard case .joinGroup(let response) = response else { return nil }
            return response
        }
    }
}
