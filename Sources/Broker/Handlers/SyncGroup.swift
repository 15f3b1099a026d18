import GroupCoordinator
import KafkaProtocol

/// SyncGroup: the leader's assignment, and each member's part of it.
enum SyncGroupHandler: RequestHandler {
    typealias Request = SyncGroupRequest

    static func handle(_ request: SyncGroupRequest, _ context: RequestContext) -> HandlerOutcome<SyncGroupResponse> {
        context.toShard(of: request.groupId, in: context.groups, .syncGroup(request)) { response in
            guard case .syncGroup(let response) = response else { return nil }
            return response
        }
    }
}
