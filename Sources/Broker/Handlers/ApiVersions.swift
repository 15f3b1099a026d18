import KafkaProtocol

/// ApiVersions: what this broker speaks. The first request of nearly every client.
enum ApiVersionsHandler: RequestHandler {
    typealias Request = ApiVersionsRequest

    static func handle(
        _ request: ApiVersionsRequest, _ context: RequestContext
    ) -> HandlerOutcome<ApiVersionsResponse> {
        if context.version >= 3
            && !(isAcceptable(request.clientSoftwareName) && isAcceptable(request.clientSoftwareVersion))
        {
            var response = ApiVersionsResponse()
            response.errorCode = ErrorCode.invalidRequest.rawValue
            return .reply(response)
        }
        return .reply(response(.none))
    }

    /// KIP-511: a version 0 reply with the error and all versions, which every client can read.
    static func replyToUnsupportedVersion(_ correlationId: Int32, _ connection: Connection) {
        connection.reply { buffer in
            RequestDispatcher.encode(response(.unsupportedVersion), .apiVersions, 0, correlationId, into: &buffer)
        }
    }

    private static func response(_ error: ErrorCode) -> ApiVersionsResponse {
        var response = ApiVersionsResponse()
        response.errorCode = error.rawValue
        response.apiKeys = SupportedApis.all.map { entry in
            var version = ApiVersionsResponse.ApiVersion()
            version.apiKey = entry.apiKey.rawValue
            version.minVersion = entry.versions.lowerBound
            version.maxVersion = entry.versions.upperBound
            return version
        }.sorted { $0.apiKey < $1.apiKey }
        response.finalizedFeaturesEpoch = 0
        for feature in Feature.all {
            var supported = ApiVersionsResponse.SupportedFeatureKey()
            supported.name = feature.name
            supported.minVersion = feature.versions.lowerBound
            supported.maxVersion = feature.versions.upperBound
            response.supportedFeatures.append(supported)
            var finalized = ApiVersionsResponse.FinalizedFeatureKey()
            finalized.name = feature.name
            finalized.minVersionLevel = feature.versions.upperBound
            finalized.maxVersionLevel = feature.versions.upperBound
            response.finalizedFeatures.append(finalized)
        }
        return response
    }

    /// What clients adapt to beyond the versions of requests (KIP-584). All is always on: a log from an older version
    /// needs no conversion.
    private struct Feature {
        let name: String
        let versions: ClosedRange<Int16>

        static let all = [
            // Consumer groups of KIP-848.
            Feature(name: "group.version", versions: 0...1),
            // Transactions with an epoch each (KIP-890).
            Feature(name: "transaction.version", versions: 0...2),
        ]
    }

    /// Letters and digits, with '-' and '.' between them (KIP-511); these texts end up in metrics.
    private static func isAcceptable(_ text: String) -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"):
                true
            default: false
            }
        }
        guard let first = text.utf8.first, let last = text.utf8.last else { return false }
        return isAlphanumeric(first) && isAlphanumeric(last)
            && text.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
    }
}
