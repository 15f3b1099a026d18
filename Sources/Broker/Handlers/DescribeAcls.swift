import KafkaProtocol

/// DescribeAcls: there is no authorizer, and Kafka without one says so.
enum DescribeAclsHandler: RequestHandler {
    typealias Request = DescribeAclsRequest

    static func handle(
        _ request: DescribeAclsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DescribeAclsResponse> {
        var response = DescribeAclsResponse()
        response.errorCode = ErrorCode.securityDisabled.rawValue
        response.errorMessage = SecurityDisabled.message
        return .reply(response)
    }
}

/// What all three requests about ACLs are answered with.
enum SecurityDisabled {
    static let message = "No Authorizer is configured."
}
