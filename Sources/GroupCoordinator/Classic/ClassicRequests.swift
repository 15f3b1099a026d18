import CoordinatorCore
import KafkaProtocol

/// The classic protocol's requests: which group they are for, and whether it is of that protocol.
extension GroupCoordinatorShard {
    mutating func joinGroup(
        _ request: JoinGroupRequest, _ token: RequestToken, _ context: CoordinatorRequestContext,
        using generator: inout some RandomNumberGenerator
    ) {
        if let code = validateJoin(request) {
            effects.reply(token, .joinGroup(.failure(code, memberId: request.memberId)))
            return
        }
        if let group = consumerGroups[request.groupId] {
            guard group.members.isEmpty else {
                effects.reply(token, .joinGroup(.failure(.inconsistentGroupProtocol, memberId: request.memberId)))
                return
            }
            guard request.memberId.isEmpty else {
                effects.reply(token, .joinGroup(.failure(.unknownMemberId, memberId: request.memberId)))
                return
            }
            // Nobody uses the consumer group any more: it becomes a classic group and keeps its offsets.
            deleteGroup(request.groupId)
        }
        if classicGroups[request.groupId] == nil {
            // A member that knows its id comes from a group that was here once.
            guard request.memberId.isEmpty else {
                effects.reply(token, .joinGroup(.failure(.unknownMemberId, memberId: request.memberId)))
                return
            }
            classicGroups[request.groupId] = ClassicGroup(groupId: request.groupId)
        }
        let join = ClassicJoin(
            request: request, context: context, token: token,
            newMemberId: request.memberId.isEmpty
                ? MemberIdGenerator.classic(
                    clientId: context.clientId, instanceId: request.groupInstanceId, using: &generator)
                : request.memberId)
        classicGroups[request.groupId]!.join(join, configuration, &effects)
        // A first member that was refused leaves no group behind.
        if classicGroups[request.groupId]!.isSimple && !offsets.hasOffsets(group: request.groupId) {
            classicGroups[request.groupId] = nil
        }
    }

    private func validateJoin(_ request: JoinGroupRequest) -> ErrorCode? {
        guard !request.groupId.isEmpty, GroupLimits.accepts(identifier: request.groupId) else { return .invalidGroupId }
        if let id = request.groupInstanceId, id.isEmpty || !GroupLimits.accepts(identifier: id) {
            return .invalidRequest
        }
        guard GroupLimits.accepts(identifier: request.protocolType),
            request.protocols.allSatisfy({ GroupLimits.accepts(identifier: $0.name) })
        else { return .invalidRequest }
        let allowed = configuration.groupMinSessionTimeoutMs...configuration.groupMaxSessionTimeoutMs
        return allowed.contains(request.sessionTimeoutMs) ? nil : .invalidSessionTimeout
    }

    mutating func syncGroup(_ request: SyncGroupRequest, _ parked: ParkedRequest) {
        if request.groupId.isEmpty {
            effects.reply(parked.token, .syncGroup(.failure(.invalidGroupId)))
        } else if classicGroups[request.groupId] == nil {
            effects.reply(parked.token, .syncGroup(.failure(.unknownMemberId)))
        } else {
            classicGroups[request.groupId]!.sync(request, parked, &effects)
        }
    }

    mutating func heartbeat(_ request: HeartbeatRequest) -> HeartbeatResponse {
        if request.groupId.isEmpty { return .failure(.invalidGroupId) }
        guard classicGroups[request.groupId] != nil else { return .failure(.unknownMemberId) }
        return .failure(classicGroups[request.groupId]!.heartbeat(request, &effects))
    }

    mutating func leaveGroup(_ request: LeaveGroupRequest, _ context: CoordinatorRequestContext) -> LeaveGroupResponse {
        if request.groupId.isEmpty { return .failure(.invalidGroupId) }
        guard classicGroups[request.groupId] != nil else { return .failure(.unknownMemberId) }
        var identities = request.members
        let isSingle = context.apiVersion < 3
        if isSingle {
            var identity = LeaveGroupRequest.MemberIdentity()
            identity.memberId = request.memberId
            identities = [identity]
        }
        let members = classicGroups[request.groupId]!.leave(identities, configuration, &effects)
        var response = LeaveGroupResponse()
        if isSingle {
            response.errorCode = members[0].errorCode
        } else {
            response.members = members
        }
        return response
    }
}
