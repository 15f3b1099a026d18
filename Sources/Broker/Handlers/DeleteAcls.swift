import KafkaProtocol

/// DeleteAcls: there is no authorizer, and Kafka without one says so.
enum DeleteAclsHandler: RequestHandler {
    typealias Request = DeleteAclsRequest

    static func handle(_ request: DeleteAclsRequest, _ context: RequestContext) -> HandlerOutcome<DeleteAclsResponse> {
        var response = DeleteAclsResponse()
        response.filterResults = request.filters.map { _ in
            var result = DeleteAclsResponse.DeleteAclsFilterResult()
            result.errorCode = ErrorCode.securityDisabled.rawValue
            result.errorMessage = SecurityDisabled.message
            return result
        }
        return .reply(response)
    }
}
