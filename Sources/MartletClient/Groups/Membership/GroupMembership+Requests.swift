import KafkaProtocol

/// Requests in the versions that the coordinator speaks, once; the state machine decides whether to try again.
extension GroupMembership {
    var route: Cluster.Route { .coordinator(group: configuration.groupId) }

    func send(_ request: GroupRequest) async -> Result<GroupReply, ClientError> {
        do throws(ClientError) {
            let reply = try await sent(request)
            switch reply.code {
            case .notCoordinator, .coordinatorNotAvailable:
                await cluster.forget(route, after: .refused(reply.code, "group '\(configuration.groupId)'"))
            default: break
            }
            return .success(reply)
        } catch {
            if error.code != .cancelled { await cluster.forget(route, after: error) }
            return .failure(error)
        }
    }

    private func sent(_ request: GroupRequest) async throws(ClientError) -> GroupReply {
        let waitsForOthers = configuration.rebalanceTimeout + .seconds(5)
        switch request {
        case .join(let request):
            let connection = try await cluster.connection(route, for: .rebalance)
            return .join(try await connection.send(request, timeout: waitsForOthers))
        case .sync(var request):
            let connection = try await cluster.connection(route, for: .rebalance)
            if connection.version(of: SyncGroupRequest.self) ?? 0 < 5 {
                request.protocolType = nil
                request.protocolName = nil
            }
            return .sync(try await connection.send(request, timeout: waitsForOthers))
        case .heartbeat(let request):
            let connection = try await cluster.connection(route)
            // Later than this the member is out, and another coordinator must be looked for before.
            let timeout = min(configuration.sessionTimeout, cluster.options.requestTimeout)
            return .heartbeat(try await connection.send(request, timeout: timeout))
        case .leave(var request):
            let connection = try await cluster.connection(route)
            let version = connection.version(of: LeaveGroupRequest.self) ?? 0
            if version >= 3 {
                var member = LeaveGroupRequest.MemberIdentity()
                member.memberId = request.memberId
                if version >= 5 { member.reason = "the consumer leaves" }
                request.memberId = ""
                request.members = [member]
            }
            return .leave(try await connection.send(request, timeout: configuration.leaveTimeout))
        case .consumerHeartbeat(var request, let hasOwnId):
            let connection = try await cluster.connection(route)
            if connection.version(of: ConsumerGroupHeartbeatRequest.self) == 0 {
                if request.memberEpoch == 0 && hasOwnId { request.memberId = "" }
                if request.subscribedTopicRegex == "" { request.subscribedTopicRegex = nil }
            }
            return .consumerHeartbeat(
                try await connection.send(request, timeout: request.memberEpoch < 0 ? configuration.leaveTimeout : nil))
        }
    }
}

extension GroupRequest {
    /// The broker answers when other members have joined, or the leader has divided the partitions.
    package var waitsForMembers: Bool {
        switch self {
        case .join, .sync: true
        case .heartbeat, .leave, .consumerHeartbeat: false
        }
    }

    package var isGoodbye: Bool {
        switch self {
        case .leave: true
        case .consumerHeartbeat(let request, _): request.memberEpoch < 0
        default: false
        }
    }
}
