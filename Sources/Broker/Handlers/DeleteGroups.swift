import GroupCoordinator
import KafkaProtocol

/// DeleteGroups: removes groups without members, and their offsets.
enum DeleteGroupsHandler: RequestHandler {
    typealias Request = DeleteGroupsRequest

    static func handle(
        _ request: DeleteGroupsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DeleteGroupsResponse> {
        context.toShards(of: request.groupsNames, in: context.groups) {
            $0
        } request: { groups in
            var part = request
            part.groupsNames = groups
            return .deleteGroups(part)
        } merge: { parts in
            var response = DeleteGroupsResponse()
            for case .deleteGroups(let part) in parts { response.results += part.results }
            return response
        }
    }
}
