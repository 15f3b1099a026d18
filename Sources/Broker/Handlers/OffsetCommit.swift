import GroupCoordinator
import KafkaProtocol

/// OffsetCommit: how far a group has read.
enum OffsetCommitHandler: RequestHandler {
    typealias Request = OffsetCommitRequest

    static func handle(_ request: OffsetCommitRequest, _ context: RequestContext) -> HandlerOutcome<
        OffsetCommitResponse
    > {
        context.toShard(of: request.groupId, in: context.groups, .offsetCommit(request)) { response in
            guard case .offsetCommit(let response) = response else { return nil }
            return response
        }
    }
}
