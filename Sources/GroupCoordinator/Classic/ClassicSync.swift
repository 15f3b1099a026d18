import KafkaProtocol

extension ClassicGroup {
    mutating func sync(_ request: SyncGroupRequest, _ parked: ParkedRequest, _ effects: inout GroupEffects) {
        if let code = validateSync(request) {
            effects.reply(parked.token, .syncGroup(.failure(code)))
            return
        }
        let memberId = request.memberId
        switch state {
        case .empty:
            effects.reply(parked.token, .syncGroup(.failure(.unknownMemberId)))
        case .preparingRebalance:
            effects.reply(parked.token, .syncGroup(.failure(.rebalanceInProgress)))
        case .completingRebalance:
            completeSync(of: memberId, with: .failure(.rebalanceInProgress), &effects)
            members[memberId]!.awaitingSync = parked
            synced(memberId, &effects)
            if isLeader(memberId) { becomeStable(with: request.assignments, &effects) }
        case .stable:
            synced(memberId, &effects)
            effects.reply(parked.token, .syncGroup(syncResponse(for: memberId)))
        }
    }

    private func validateSync(_ request: SyncGroupRequest) -> ErrorCode? {
        if let code = validate(memberId: request.memberId, instanceId: request.groupInstanceId) { return code }
        if request.generationId != generationId { return .illegalGeneration }
        // Since version 5 a member says which protocol it was told (KIP-559); older ones say nothing.
        if let type = request.protocolType, let own = protocolType, type != own { return .inconsistentGroupProtocol }
        if let name = request.protocolName, let own = protocolName, name != own { return .inconsistentGroupProtocol }
        return nil
    }

    private mutating func synced(_ memberId: String, _ effects: inout GroupEffects) {
        pendingSyncMembers.remove(memberId)
        if pendingSyncMembers.isEmpty { effects.cancel(.classicSync(groupId: groupId)) }
    }

    /// Members that the leader left out get an empty assignment. The replies leave when the record is durable.
    private mutating func becomeStable(
        with assignments: [SyncGroupRequest.SyncGroupRequestAssignment], _ effects: inout GroupEffects
    ) {
        var assignmentOf: [String: [UInt8]] = [:]
        for assignment in assignments { assignmentOf[assignment.memberId] = assignment.assignment }
        for memberId in members.keys { members[memberId]!.assignment = assignmentOf[memberId] ?? [] }
        transition(to: .stable, now: effects.now)
        effects.records.append(metadataRecord)
        for memberId in sortedMemberIds where members[memberId]!.awaitingSync != nil {
            completeSync(of: memberId, with: syncResponse(for: memberId), &effects)
            scheduleSession(of: memberId, &effects)
        }
    }

    private func syncResponse(for memberId: String) -> SyncGroupResponse {
        var response = SyncGroupResponse()
        response.protocolType = protocolType
        response.protocolName = protocolName
        response.assignment = members[memberId]?.assignment ?? []
        return response
    }

    /// Members that took part in the generation and never asked for their assignment are gone.
    mutating func syncTimedOut(_ configuration: GroupConfiguration, _ effects: inout GroupEffects) {
        guard state == .completingRebalance || state == .stable, !pendingSyncMembers.isEmpty else { return }
        for memberId in pendingSyncMembers.sorted() {
            remove(memberId)
            effects.cancel(.classicSession(groupId: groupId, memberId: memberId))
        }
        prepareRebalance(configuration, &effects)
    }
}
