import KafkaProtocol

/// Whether a ConsumerGroupHeartbeat makes sense by itself.
enum ConsumerHeartbeatValidation {
    static func validate(
        _ request: ConsumerGroupHeartbeatRequest, apiVersion: Int16, _ configuration: GroupConfiguration
    ) throws(GroupError) {
        guard !request.groupId.isEmpty else { throw invalid("GroupId can't be empty.") }
        guard GroupLimits.accepts(identifier: request.groupId) else { throw GroupError(.invalidGroupId) }
        // From version 1 the client makes the member id, so that a lost reply leaves no member behind (KIP-1082).
        if request.memberId.isEmpty && (apiVersion >= 1 || request.memberEpoch != MemberEpoch.join) {
            throw invalid("MemberId can't be empty.")
        }
        for (name, value) in [
            ("MemberId", request.memberId), ("InstanceId", request.instanceId ?? "-"),
            ("RackId", request.rackId ?? "-"), ("SubscribedTopicRegex", request.subscribedTopicRegex ?? ""),
        ] where !GroupLimits.accepts(identifier: value) {
            throw invalid("\(name) is too long.")
        }
        if request.instanceId == "" { throw invalid("InstanceId can't be empty.") }
        if request.rackId == "" { throw invalid("RackId can't be empty.") }
        switch request.memberEpoch {
        case MemberEpoch.join:
            try validateJoin(request)
        case MemberEpoch.leaveStatic where request.instanceId == nil:
            throw invalid("InstanceId can't be null.")
        case ..<MemberEpoch.leaveStatic:
            throw invalid("MemberEpoch is invalid.")
        default:
            break
        }
        if let name = request.serverAssignor,
            !configuration.groupConsumerAssignors.contains(where: { $0.rawValue == name })
        {
            let supported = configuration.groupConsumerAssignors.map(\.rawValue).joined(separator: ", ")
            throw GroupError(
                .unsupportedAssignor, "ServerAssignor \(name) is not supported. Supported assignors: \(supported).")
        }
    }

    private static func validateJoin(_ request: ConsumerGroupHeartbeatRequest) throws(GroupError) {
        if request.rebalanceTimeoutMs == -1 {
            throw invalid("RebalanceTimeoutMs must be provided in first request.")
        }
        guard let owned = request.topicPartitions, owned.isEmpty else {
            throw invalid("TopicPartitions must be empty when (re-)joining.")
        }
        if request.subscribedTopicNames == nil && (request.subscribedTopicRegex ?? "").isEmpty {
            throw invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
        }
    }

    private static func invalid(_ message: String) -> GroupError { GroupError(.invalidRequest, message) }
}
