import GroupCoordinator
import KafkaProtocol

/// Heartbeat: a member of a classic group lives.
enum HeartbeatHandler: RequestHandler {
    typealias Request = HeartbeatRequest

    static func handle(_ request: HeartbeatRequest, _ context: RequestContext) -> HandlerOutcome<HeartbeatResponse> {
        context.toShard(of: request.groupId, in: context.groups, .heartbeat(request)) { response in
            guard case .heartbeat(let response) = response else { return nil }
            return response
        }
    }
}
