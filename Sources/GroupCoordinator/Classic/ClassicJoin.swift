import CoordinatorCore
import KafkaProtocol

/// A JoinGroup request with what came around it.
struct ClassicJoin {
    let request: JoinGroupRequest
    let context: CoordinatorRequestContext
    let token: RequestToken
    /// The id for this member if it has none.
    let newMemberId: String

    var parked: ParkedRequest { ParkedRequest(token: token, apiVersion: context.apiVersion) }

    /// Version 0 has no rebalance timeout; the session timeout serves for both.
    var rebalanceTimeoutMs: Int32 {
        context.apiVersion == 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs
    }

    /// From version 4 a dynamic member first gets its id and joins with it, so that a client that retries does not
    /// leave members behind (KIP-394).
    var requiresKnownMemberId: Bool { context.apiVersion >= 4 && request.groupInstanceId == nil }
}

extension ClassicGroup {
    mutating func join(_ join: ClassicJoin, _ configuration: GroupConfiguration, _ effects: inout GroupEffects) {
        let memberId = join.request.memberId
        guard accepts(memberId, maxSize: Int(configuration.groupMaxSize)) else {
            remove(memberId)
            effects.cancel(.classicSession(groupId: groupId, memberId: memberId))
            effects.reply(join.token, .joinGroup(.failure(.groupMaxSizeReached)))
            completeJoinIfAllJoined(&effects)
            return
        }
        guard supports(join.request) else {
            effects.reply(join.token, .joinGroup(.failure(.inconsistentGroupProtocol, memberId: memberId)))
            return
        }
        if memberId.isEmpty {
            joinNewMember(join, configuration, &effects)
        } else {
            joinKnownMember(join, configuration, &effects)
        }
    }

    /// Whether there is room. While a rebalance collects members those count that have joined it: a group above a
    /// lowered limit sheds the last ones to rejoin.
    private func accepts(_ memberId: String, maxSize: Int) -> Bool {
        switch state {
        case .empty:
            return true
        case .preparingRebalance:
            return members[memberId]?.awaitingJoin != nil || awaitingJoinCount < maxSize
        case .completingRebalance, .stable:
            return members[memberId] != nil || members.count < maxSize
        }
    }

    // MARK: Members without an id

    private mutating func joinNewMember(
        _ join: ClassicJoin, _ configuration: GroupConfiguration, _ effects: inout GroupEffects
    ) {
        if let instanceId = join.request.groupInstanceId {
            if let oldMemberId = staticMembers[instanceId] {
                replaceStaticMember(oldMemberId, join, configuration, &effects)
            } else {
                addMember(join.newMemberId, join, configuration, &effects)
            }
        } else if join.requiresKnownMemberId {
            pendingJoinMembers.insert(join.newMemberId)
            effects.schedule(
                .classicSession(groupId: groupId, memberId: join.newMemberId),
                after: Int64(join.request.sessionTimeoutMs))
            effects.reply(join.token, .joinGroup(.failure(.memberIdRequired, memberId: join.newMemberId)))
        } else {
            addMember(join.newMemberId, join, configuration, &effects)
        }
    }

    private mutating func addMember(
        _ memberId: String, _ join: ClassicJoin, _ configuration: GroupConfiguration, _ effects: inout GroupEffects
    ) {
        if members.isEmpty { protocolType = join.request.protocolType }
        var member = ClassicGroupMember(
            memberId: memberId, groupInstanceId: join.request.groupInstanceId, clientId: join.context.clientId,
            clientHost: join.context.clientHost, sessionTimeoutMs: join.request.sessionTimeoutMs,
            rebalanceTimeoutMs: join.rebalanceTimeoutMs, supportedProtocols: join.request.protocols)
        member.isNew = true
        members[memberId] = member
        parkJoin(join.parked, of: memberId)
        if let instanceId = member.groupInstanceId { staticMembers[instanceId] = memberId }
        if leaderId == nil { leaderId = memberId }
        pendingJoinMembers.remove(memberId)
        if state == .preparingRebalance && previousState == .empty { newMemberAdded = true }
        effects.schedule(
            .classicSession(groupId: groupId, memberId: memberId), after: Int64(configuration.newMemberJoinTimeoutMs))
        rebalanceOrCompleteJoin(configuration, &effects)
    }

    // MARK: Static members that come back

    private mutating func replaceStaticMember(
        _ oldMemberId: String, _ join: ClassicJoin, _ configuration: GroupConfiguration, _ effects: inout GroupEffects
    ) {
        let formerLeaderId = leaderId
        let newMemberId = join.newMemberId
        // Two processes with one instance id: the older one learns it at once if it is waiting.
        completeJoin(of: oldMemberId, with: .failure(.fencedInstanceId, memberId: oldMemberId), &effects)
        completeSync(of: oldMemberId, with: .failure(.fencedInstanceId), &effects)
        guard var member = members.removeValue(forKey: oldMemberId), let instanceId = member.groupInstanceId else {
            preconditionFailure("staticMembers names a member that is not in the group")
        }
        effects.cancel(.classicSession(groupId: groupId, memberId: oldMemberId))

        member.memberId = newMemberId
        member.clientId = join.context.clientId
        member.clientHost = join.context.clientHost
        member.supportedProtocols = join.request.protocols
        member.sessionTimeoutMs = join.request.sessionTimeoutMs
        member.rebalanceTimeoutMs = join.rebalanceTimeoutMs
        members[newMemberId] = member
        staticMembers[instanceId] = newMemberId
        if leaderId == oldMemberId { leaderId = newMemberId }
        if pendingSyncMembers.remove(oldMemberId) != nil { pendingSyncMembers.insert(newMemberId) }
        effects.schedule(
            .classicSession(groupId: groupId, memberId: newMemberId), after: Int64(member.sessionTimeoutMs))

        switch state {
        case .stable where selectProtocol() == protocolName:
            // The point of static membership: a restart within the session timeout moves no partition.
            effects.records.append(metadataRecord)
            effects.reply(
                join.token, .joinGroup(replacementResponse(newMemberId, join.context, formerLeaderId: formerLeaderId)))
        case .stable, .completingRebalance:
            // The leader may have been told the old id, so its assignment would miss the new one.
            parkJoin(join.parked, of: newMemberId)
            prepareRebalance(configuration, &effects)
        case .preparingRebalance:
            parkJoin(join.parked, of: newMemberId)
            completeJoinIfAllJoined(&effects)
        case .empty:
            preconditionFailure("a group with a static member is not empty")
        }
    }

    /// Before version 9 a replaced leader must not think that it leads, or it would assign with stale metadata; it is
    /// told the old leader's id. From version 9 it is told to skip the assignment (KIP-814).
    private func replacementResponse(
        _ memberId: String, _ context: CoordinatorRequestContext, formerLeaderId: String?
    ) -> JoinGroupResponse {
        var response = joinResponse(for: memberId)
        if context.apiVersion >= 9 {
            response.skipAssignment = isLeader(memberId)
        } else {
            response.leader = formerLeaderId ?? ""
            response.members = []
        }
        return response
    }

    // MARK: Members with an id

    private mutating func joinKnownMember(
        _ join: ClassicJoin, _ configuration: GroupConfiguration, _ effects: inout GroupEffects
    ) {
        let memberId = join.request.memberId
        if pendingJoinMembers.contains(memberId) && join.request.groupInstanceId == nil {
            addMember(memberId, join, configuration, &effects)
            return
        }
        if let code = validate(memberId: memberId, instanceId: join.request.groupInstanceId) {
            effects.reply(join.token, .joinGroup(.failure(code, memberId: memberId)))
            return
        }
        let isUnchanged = members[memberId]!.supportedProtocols == join.request.protocols
        switch state {
        case .preparingRebalance:
            rejoin(join, configuration, &effects)
        case .completingRebalance where isUnchanged:
            // The first reply was lost; the generation is the same.
            effects.reply(join.token, .joinGroup(joinResponse(for: memberId)))
        case .stable where isUnchanged && !isLeader(memberId):
            var response = joinResponse(for: memberId)
            response.members = []
            effects.reply(join.token, .joinGroup(response))
        case .completingRebalance, .stable:
            // A leader that joins again asks for a rebalance: topics may have changed, which only it can see.
            rejoin(join, configuration, &effects)
        case .empty:
            effects.reply(join.token, .joinGroup(.failure(.unknownMemberId, memberId: memberId)))
        }
    }

    private mutating func rejoin(
        _ join: ClassicJoin, _ configuration: GroupConfiguration, _ effects: inout GroupEffects
    ) {
        let memberId = join.request.memberId
        // The client sent again because it gave up on its first request; nobody reads that answer.
        completeJoin(of: memberId, with: .failure(.rebalanceInProgress, memberId: memberId), &effects)
        members[memberId]!.supportedProtocols = join.request.protocols
        members[memberId]!.sessionTimeoutMs = join.request.sessionTimeoutMs
        members[memberId]!.rebalanceTimeoutMs = join.rebalanceTimeoutMs
        parkJoin(join.parked, of: memberId)
        rebalanceOrCompleteJoin(configuration, &effects)
    }
}
