import KafkaProtocol

/// From the first member that asks for a rebalance to the moment when all are told the new generation.
extension ClassicGroup {
    mutating func rebalanceOrCompleteJoin(_ configuration: GroupConfiguration, _ effects: inout GroupEffects) {
        if state == .preparingRebalance {
            completeJoinIfAllJoined(&effects)
        } else {
            prepareRebalance(configuration, &effects)
        }
    }

    /// An initial rebalance ends with its delay only, however complete the group looks before.
    mutating func completeJoinIfAllJoined(_ effects: inout GroupEffects) {
        guard state == .preparingRebalance, previousState != .empty, hasAllMembersJoined else { return }
        completeJoin(&effects)
    }

    mutating func prepareRebalance(_ configuration: GroupConfiguration, _ effects: inout GroupEffects) {
        for memberId in sortedMemberIds where members[memberId]!.awaitingSync != nil {
            completeSync(of: memberId, with: .failure(.rebalanceInProgress), &effects)
            scheduleSession(of: memberId, &effects)
        }
        pendingSyncMembers.removeAll()
        effects.cancel(.classicSync(groupId: groupId))

        let isInitial = state == .empty
        transition(to: .preparingRebalance, now: effects.now)
        if isInitial {
            newMemberAdded = false
            initialDelayMs = Int64(configuration.groupInitialRebalanceDelayMs)
            initialRemainingMs = max(rebalanceTimeoutMs - initialDelayMs, 0)
            effects.schedule(.classicJoin(groupId: groupId), after: initialDelayMs)
        } else if hasAllMembersJoined {
            completeJoin(&effects)
        } else {
            effects.schedule(.classicJoin(groupId: groupId), after: rebalanceTimeoutMs)
        }
    }

    /// The join phase has lasted as long as it may.
    mutating func joinTimedOut(_ configuration: GroupConfiguration, _ effects: inout GroupEffects) {
        guard state == .preparingRebalance else { return }
        if previousState == .empty && newMemberAdded && initialRemainingMs > 0 {
            // Somebody arrived during the delay, so others may be about to: wait again, up to the rebalance timeout.
            newMemberAdded = false
            let delay = min(Int64(configuration.groupInitialRebalanceDelayMs), initialRemainingMs)
            initialRemainingMs = max(initialRemainingMs - initialDelayMs, 0)
            initialDelayMs = delay
            effects.schedule(.classicJoin(groupId: groupId), after: delay)
        } else {
            completeJoin(&effects)
        }
    }

    /// Ends the join phase: dynamic members that did not come are dropped, static ones may be restarting and stay.
    private mutating func completeJoin(_ effects: inout GroupEffects) {
        effects.cancel(.classicJoin(groupId: groupId))
        for memberId in sortedMemberIds where members[memberId]!.awaitingJoin == nil && !members[memberId]!.isStatic {
            remove(memberId)
            effects.cancel(.classicSession(groupId: groupId, memberId: memberId))
        }
        if !members.isEmpty && !electJoinedLeader() {
            // Only static members that did not come: wait until one does or their sessions end.
            // Members choose the timeout, so it may be nothing; the group must not spin meanwhile.
            effects.schedule(
                .classicJoin(groupId: groupId), after: max(rebalanceTimeoutMs, GroupLimits.minimumRetryDelayMs))
            return
        }
        // Kafka's generations also wrap to a start rather than overflow.
        generationId = generationId == .max ? 1 : generationId + 1
        if members.isEmpty {
            protocolName = nil
            leaderId = nil
            transition(to: .empty, now: effects.now)
            effects.records.append(metadataRecord)
        } else {
            protocolName = selectProtocol()
            transition(to: .completingRebalance, now: effects.now)
            for memberId in sortedMemberIds {
                completeJoin(of: memberId, with: joinResponse(for: memberId), &effects)
                members[memberId]!.isNew = false
                scheduleSession(of: memberId, &effects)
            }
            pendingSyncMembers = Set(members.keys)
            effects.schedule(.classicSync(groupId: groupId), after: rebalanceTimeoutMs)
        }
    }

    /// The leader must be one that joined this generation.
    private mutating func electJoinedLeader() -> Bool {
        if let leaderId, members[leaderId]?.awaitingJoin != nil { return true }
        guard let elected = sortedMemberIds.first(where: { members[$0]!.awaitingJoin != nil }) else { return false }
        leaderId = elected
        return true
    }

    /// The generation as a member is told it; the leader also learns who is in it.
    func joinResponse(for memberId: String) -> JoinGroupResponse {
        var response = JoinGroupResponse()
        response.generationId = generationId
        response.protocolType = protocolType
        response.protocolName = protocolName
        response.leader = leaderId ?? ""
        response.memberId = memberId
        if isLeader(memberId), let protocolName {
            response.members = sortedMemberIds.map { id in
                var member = JoinGroupResponse.JoinGroupResponseMember()
                member.memberId = id
                member.groupInstanceId = members[id]!.groupInstanceId
                member.metadata = members[id]!.metadata(for: protocolName) ?? []
                return member
            }
        }
        return response
    }

    mutating func parkJoin(_ parked: ParkedRequest, of memberId: String) {
        precondition(members[memberId]?.awaitingJoin == nil, "a member waits with one join at most")
        members[memberId]!.awaitingJoin = parked
        awaitingJoinCount += 1
    }

    mutating func completeJoin(
        of memberId: String, with response: JoinGroupResponse, _ effects: inout GroupEffects
    ) {
        guard let parked = members[memberId]?.awaitingJoin else { return }
        members[memberId]!.awaitingJoin = nil
        awaitingJoinCount -= 1
        effects.reply(parked.token, .joinGroup(response))
    }

    mutating func completeSync(
        of memberId: String, with response: SyncGroupResponse, _ effects: inout GroupEffects
    ) {
        guard let parked = members[memberId]?.awaitingSync else { return }
        members[memberId]!.awaitingSync = nil
        effects.reply(parked.token, .syncGroup(response))
    }

    func scheduleSession(of memberId: String, _ effects: inout GroupEffects) {
        guard let member = members[memberId] else { return }
        effects.schedule(.classicSession(groupId: groupId, memberId: memberId), after: Int64(member.sessionTimeoutMs))
    }
}
