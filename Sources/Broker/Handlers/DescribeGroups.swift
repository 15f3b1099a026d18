import GroupCoordinator
import KafkaProtocol

/// DescribeGroups: classic groups and their members.
enum DescribeGroupsHandler: RequestHandler {
    typealias Request = DescribeGroupsRequest

    static func handle(
        _ request: DescribeGroupsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DescribeGroupsResponse> {
        let wantsOperations = request.includeAuthorizedOperations
        return context.toShards(of: request.groups, in: context.groups) {
            $0
        } request: { groups in
            var part = request
            part.groups = groups
            return .describeGroups(part)
        } merge: { parts in
            var response = DescribeGroupsResponse()
            for case .describeGroups(let part) in parts { response.groups += part.groups }
            if wantsOperations {
                for index in response.groups.indices {
                    response.groups[index].authorizedOperations = AuthorizedOperations.group
                }
            }
            return response
        }
    }
}
