import KafkaProtocol

/// Heartbeats, leaving, and silence.
extension ClassicGroup {
    mutating func heartbeat(_ request: HeartbeatRequest, _ effects: inout GroupEffects) -> ErrorCode {
        if let code = validate(memberId: request.memberId, instanceId: request.groupInstanceId) { return code }
        if request.generationId != generationId { return .illegalGeneration }
        switch state {
        case .empty:
            return .unknownMemberId
        case .preparingRebalance:
            scheduleSession(of: request.memberId, &effects)
            return .rebalanceInProgress
        case .completingRebalance, .stable:
            scheduleSession(of: request.memberId, &effects)
            return .none
        }
    }

    /// Removes the members that a LeaveGroup request names. Tools name a static member by its instance id alone.
    mutating func leave(
        _ identities: [LeaveGroupRequest.MemberIdentity], _ configuration: GroupConfiguration,
        _ effects: inout GroupEffects
    ) -> [LeaveGroupResponse.MemberResponse] {
        var hasLeft = false
        let responses = identities.map { identity in
            var response = LeaveGroupResponse.MemberResponse()
            response.memberId = identity.memberId
            response.groupInstanceId = identity.groupInstanceId
            let code = leave(identity, &effects)
            response.errorCode = code.rawValue
            if code == .none { hasLeft = true }
            return response
        }
        if hasLeft { membersLeft(configuration, &effects) }
        return responses
    }

    private mutating func leave(
        _ identity: LeaveGroupRequest.MemberIdentity, _ effects: inout GroupEffects
    ) -> ErrorCode {
        var memberId = identity.memberId
        if memberId.isEmpty {
            guard let instanceId = identity.groupInstanceId, let owner = staticMembers[instanceId] else {
                return .unknownMemberId
            }
            memberId = owner
        } else if !pendingJoinMembers.contains(memberId) {
            if let code = validate(memberId: memberId, instanceId: identity.groupInstanceId) { return code }
        }
        dismiss(memberId, &effects)
        return .none
    }

    /// Forgets a member. One that waits is told that it is unknown, so that it joins again if it is still there.
    private mutating func dismiss(_ memberId: String, _ effects: inout GroupEffects) {
        effects.cancel(.classicSession(groupId: groupId, memberId: memberId))
        if members[memberId] != nil {
            completeJoin(of: memberId, with: .failure(.unknownMemberId), &effects)
            completeSync(of: memberId, with: .failure(.unknownMemberId), &effects)
        }
        remove(memberId)
    }

    private mutating func membersLeft(_ configuration: GroupConfiguration, _ effects: inout GroupEffects) {
        switch state {
        case .stable, .completingRebalance:
            prepareRebalance(configuration, &effects)
        case .preparingRebalance:
            completeJoinIfAllJoined(&effects)
        case .empty:
            break
        }
    }

    /// Nothing was heard of a member for its session timeout.
    mutating func sessionExpired(
        _ memberId: String, _ configuration: GroupConfiguration, _ effects: inout GroupEffects
    ) {
        if pendingJoinMembers.remove(memberId) != nil {
            completeJoinIfAllJoined(&effects)
        } else if let member = members[memberId], !member.hasSatisfiedHeartbeat {
            dismiss(memberId, &effects)
            membersLeft(configuration, &effects)
        }
    }
}
