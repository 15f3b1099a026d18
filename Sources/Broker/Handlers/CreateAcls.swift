import KafkaProtocol

/// CreateAcls: there is no authorizer, and Kafka without one says so.
enum CreateAclsHandler: RequestHandler {
    typealias Request = CreateAclsRequest

    static func handle(_ request: CreateAclsRequest, _ context: RequestContext) -> HandlerOutcome<CreateAclsResponse> {
        var response = CreateAclsResponse()
        response.results = request.creations.map { _ in
            var result = CreateAclsResponse.AclCreationResult()
            result.errorCode = ErrorCode.securityDisabled.rawValue
            result.errorMessage = SecurityDisabled.message
            return result
        }
        return .reply(response)
    }
}
