import GroupCoordinator
import KafkaProtocol

/// ConsumerGroupHeartbeat: a member of a consumer group lives, and learns its partitions (KIP-848).
enum ConsumerGroupHeartbeatHandler: RequestHandler {
    typealias Request = ConsumerGroupHeartbeatRequest

    static func handle(_ request: ConsumerGroupHeartbeatRequest, _ context: RequestContext) -> HandlerOutcome<
        ConsumerGroupHeartbeatResponse
    > {
        context.toShard(of: request.groupId, in: context.groups, .consumerGroupHeartbeat(request)) { response in
            guard case .consumerGroupHeartbeat(let response) = response else { return nil }
            return response
        }
    }
}
