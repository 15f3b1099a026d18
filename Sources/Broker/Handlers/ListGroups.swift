import GroupCoordinator
import KafkaProtocol

/// ListGroups: all groups of this broker, by state and type if asked.
enum ListGroupsHandler: RequestHandler {
    typealias Request = ListGroupsRequest

    static func handle(_ request: ListGroupsRequest, _ context: RequestContext) -> HandlerOutcome<ListGroupsResponse> {
        context.toAllShards(in: context.groups, .listGroups(request)) { parts in
            var response = ListGroupsResponse()
            for case .listGroups(let part) in parts {
                if part.errorCode != ErrorCode.none.rawValue { response.errorCode = part.errorCode }
                response.groups += part.groups
            }
            return response
        }
    }
}
