import GroupCoordinator
import KafkaProtocol

/// LeaveGroup: members go.
enum LeaveGroupHandler: RequestHandler {
    typealias Request = LeaveGroupRequest

    static func handle(_ request: LeaveGroupRequest, _ context: RequestContext) -> HandlerOutcome<LeaveGroupResponse> {
        context.toShard(of: request.groupId, in: context.groups, .leaveGroup(request)) { response in
            guard case .leaveGroup(let response) = response else { return nil }
            return response
        }
    }
}
