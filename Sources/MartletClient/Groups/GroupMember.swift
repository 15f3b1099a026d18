import KafkaProtocol

/// A member of a classic group: joins, learns its partitions, stays alive, leaves. The member that the coordinator
/// names leader divides the partitions with the range assignor.
package actor GroupMember {
    package nonisolated let groupId: String
    private let cluster: Cluster
    private let topics: [String]
    private let options: GroupOptions
    private var memberId = ""
    private var generation: Int32 = -1
    /// The partitions of the topics when this member divided them as leader; nil when another one did.
    private var dividedCounts: [String: Int]?

    package init(cluster: Cluster, groupId: String, topics: [String], options: GroupOptions) {
        self.cluster = cluster
        self.groupId = groupId
        self.topics = topics
        self.options = options
    }

    private var route: Cluster.Route { .coordinator(group: groupId) }

    /// Joins, or joins again, and waits until the group has divided the partitions. Throws what does not pass.
    package func join() async throws(ClientError) -> [TopicPartition] {
        while true {
            if Task.isCancelled { throw ClientError(.cancelled, "cancelled") }
            do throws(ClientError) {
                let joined = try await sendJoin()
                return try await sendSync(joined)
            } catch {
                switch error.protocolCode {
                case .memberIdRequired, .rebalanceInProgress: continue
                case .unknownMemberId, .illegalGeneration:
                    memberId = ""
                    generation = -1
                default: throw error
                }
            }
        }
    }

    private func sendJoin() async throws(ClientError) -> JoinGroupResponse {
        var request = JoinGroupRequest()
        request.groupId = groupId
        request.sessionTimeoutMs = Int32(clamping: options.sessionTimeout.milliseconds)
        request.rebalanceTimeoutMs = Int32(clamping: options.rebalanceTimeout.milliseconds)
        request.memberId = memberId
        request.protocolType = "consumer"
        var range = JoinGroupRequest.JoinGroupRequestProtocol()
        range.name = "range"
        range.metadata = ConsumerProtocol.encodeSubscription(topics)
        request.protocols = [range]
        let subject = "group '\(groupId)'"
        let response = try await cluster.call(
            request, route, isRepeatable: true, timeout: options.rebalanceTimeout + .seconds(5)
        ) { response in
            // Not an error yet: the reply carries the id to come back with.
            if ErrorCode(rawValue: response.errorCode) == .memberIdRequired { return nil }
            return ClientError.from(response.errorCode, subject)
        }
        memberId = response.memberId
        if let error = ClientError.from(response.errorCode, subject) { throw error }
        generation = response.generationId
        dividedCounts = nil
        return response
    }

    private func sendSync(_ joined: JoinGroupResponse) async throws(ClientError) -> [TopicPartition] {
        var request = SyncGroupRequest()
        request.groupId = groupId
        request.generationId = generation
        request.memberId = memberId
        // Known from version 5 on.
        if let version = try await cluster.connection(route).version(of: SyncGroupRequest.self), version >= 5 {
            request.protocolType = joined.protocolType
            request.protocolName = joined.protocolName
        }
        if joined.leader == memberId && !joined.skipAssignment {
            request.assignments = try await divide(joined.members).map { id, partitions in
                var assignment = SyncGroupRequest.SyncGroupRequestAssignment()
                assignment.memberId = id
                assignment.assignment = ConsumerProtocol.encodeAssignment(partitions)
                return assignment
            }
        }
        let subject = "group '\(groupId)'"
        let response = try await cluster.call(
            request, route, timeout: options.rebalanceTimeout + .seconds(5)
        ) { response in
            ClientError.from(response.errorCode, subject)
        }
        return try ConsumerProtocol.assignment(response.assignment)
    }

    private func divide(
        _ joined: [JoinGroupResponse.JoinGroupResponseMember]
    ) async throws(ClientError) -> [String: [TopicPartition]] {
        let members = try joined.map { member throws(ClientError) in
            RangeAssignor.Member(
                id: member.memberId, instanceId: member.groupInstanceId,
                topics: try ConsumerProtocol.subscription(member.metadata))
        }
        let counts = try await partitionCounts(Set(members.flatMap(\.topics)))
        dividedCounts = counts
        return RangeAssignor.assign(members, partitionCounts: counts)
    }

    private func partitionCounts(_ topics: Set<String>) async throws(ClientError) -> [String: Int] {
        try await cluster.refreshMetadata(of: Array(topics))
        return await cluster.view.topics.filter { topics.contains($0.key) }.mapValues(\.partitions.count)
    }

    /// Whether topics have other partitions than when this member divided them as the group's leader, so that it has
    /// to join again.
    package func mustDivideAgain() async throws(ClientError) -> Bool {
        guard let divided = dividedCounts else { return false }
        let counts = try await partitionCounts(Set(topics).union(divided.keys))
        return dividedCounts != nil && counts != divided
    }

    /// Tells the coordinator that the member lives. True when the partitions are being divided anew, so that the
    /// member has to commit and join again.
    package func heartbeat() async throws(ClientError) -> Bool {
        var request = HeartbeatRequest()
        request.groupId = groupId
        request.generationId = generation
        request.memberId = memberId
        let response = try await cluster.call(request, route) { response in
            let code = ErrorCode(rawValue: response.errorCode)
            return code.isRetriable ? .refused(code, "group") : nil
        }
        switch ErrorCode(rawValue: response.errorCode) {
        case .none: return false
        case .rebalanceInProgress, .illegalGeneration, .unknownMemberId: return true
        case let code: throw .refused(code, "group '\(groupId)'")
        }
    }

    package func commit(_ offsets: [TopicPartition: Int64]) async throws(ClientError) {
        try await Admin(cluster: cluster).commitOffsets(
            offsets.mapValues { ConsumedOffset($0) }, group: groupId, memberId: memberId, generation: generation)
    }

    /// Leaves, so that the others get the partitions at once and not after the session's time-out.
    package func leave() async throws(ClientError) {
        guard !memberId.isEmpty else { return }
        var request = LeaveGroupRequest()
        request.groupId = groupId
        // From version 3 on a list of members.
        if let version = try await cluster.connection(route).version(of: LeaveGroupRequest.self), version >= 3 {
            var member = LeaveGroupRequest.MemberIdentity()
            member.memberId = memberId
            request.members = [member]
        } else {
            request.memberId = memberId
        }
        memberId = ""
        let subject = "group '\(groupId)'"
        _ = try await cluster.call(request, route, isRepeatable: false) { response in
            ClientError.from(response.errorCode, subject)
        }
    }
}
