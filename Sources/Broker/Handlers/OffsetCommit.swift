import GroupCoordinator
import KafkaProtocol

/// OffsetCommit: how far a group has read.
enum OffsetCommitHandler: RequestHandler {
    typealias Request = OffsetCommitRequest

    static func handle(_ request: OffsetCommitRequest, _ context: RequestContext) -> HandlerOutcome<
        OffsetCommitResponse
    > {
        context.toGroup(request.groupId, .offsetCommit(request)) { response in
            guard case .offsetCommit(let response) = response else { return nil }
            return response
        }
    }
}
