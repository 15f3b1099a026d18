import GroupCoordinator
import KafkaProtocol

/// ConsumerGroupDescribe: groups of KIP-848 and their members.
enum ConsumerGroupDescribeHandler: RequestHandler {
    typealias Request = ConsumerGroupDescribeRequest

    static func handle(
        _ request: ConsumerGroupDescribeRequest, _ context: RequestContext
    ) -> HandlerOutcome<ConsumerGroupDescribeResponse> {
        let wantsOperations = request.includeAuthorizedOperations
        return context.toShards(of: request.groupIds, in: context.groups) {
            $0
        } request: { groups in
            var part = request
            part.groupIds = groups
            return .consumerGroupDescribe(part)
        } merge: { parts in
            var response = ConsumerGroupDescribeResponse()
            for case .consumerGroupDescribe(let part) in parts { response.groups += part.groups }
            if wantsOperations {
                for index in response.groups.indices {
                    response.groups[index].authorizedOperations = AuthorizedOperations.group
                }
            }
            return response
        }
    }
}
