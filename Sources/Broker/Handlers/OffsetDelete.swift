import GroupCoordinator
import KafkaProtocol

/// OffsetDelete: forgets committed offsets (KIP-496).
enum OffsetDeleteHandler: RequestHandler {
    typealias Request = OffsetDeleteRequest

    static func handle(_ request: OffsetDeleteRequest, _ context: RequestContext) -> HandlerOutcome<
        OffsetDeleteResponse
    > {
        context.toShard(of: request.groupId, in: context.groups, .offsetDelete(request)) { response in
            guard case .offsetDelete(let response) = response else { return nil }
            return response
        }
    }
}
