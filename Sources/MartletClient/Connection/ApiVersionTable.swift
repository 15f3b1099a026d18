import KafkaProtocol

/// The versions of each request that a broker takes.
package struct ApiVersionTable: Sendable, Equatable {
    private var ranges: [Int16: ClosedRange<Int16>] = [:]
    /// The levels of the features that the whole cluster has agreed on (KIP-584).
    private var features: [String: Int16] = [:]

    package init() {}

    /// From a broker's reply. Ranges that are upside down are left out.
    package init(_ response: ApiVersionsResponse) {
        for entry in response.apiKeys where entry.minVersion <= entry.maxVersion {
            ranges[entry.apiKey] = entry.minVersion...entry.maxVersion
        }
        for feature in response.finalizedFeatures { features[feature.name] = feature.maxVersionLevel }
    }

    /// The cluster's level of a feature, 0 for one that it does not know.
    package func featureLevel(_ name: String) -> Int16 { features[name] ?? 0 }

    /// The highest version that both sides speak, nil when there is none.
    package func version<Request: ProtocolRequest>(for request: Request.Type) -> Int16? {
        guard let range = ranges[Request.apiKey.rawValue] else { return nil }
        let common = range.clamped(to: Request.validVersions)
        return range.overlaps(Request.validVersions) ? common.upperBound : nil
    }
}
