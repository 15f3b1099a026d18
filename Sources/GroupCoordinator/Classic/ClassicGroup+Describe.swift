import KafkaProtocol

extension ClassicGroup {
    /// Metadata and assignments are shown while they belong together, which is in a stable group.
    func described() -> DescribeGroupsResponse.DescribedGroup {
        var described = DescribeGroupsResponse.DescribedGroup()
        described.groupId = groupId
        described.groupState = state.rawValue
        described.protocolType = protocolType ?? ""
        if state == .stable { described.protocolData = protocolName ?? "" }
        described.members = sortedMemberIds.map { id in
            let member = members[id]!
            var shown = DescribeGroupsResponse.DescribedGroupMember()
            shown.memberId = member.memberId
            shown.groupInstanceId = member.groupInstanceId
            shown.clientId = member.clientId
            shown.clientHost = member.clientHost
            if state == .stable {
                shown.memberMetadata = protocolName.flatMap { member.metadata(for: $0) } ?? []
                shown.memberAssignment = member.assignment
            }
            return shown
        }
        return described
    }

    /// Answers every request that is parked in the group, because the shard goes away.
    mutating func failParkedRequests(_ code: ErrorCode, _ effects: inout GroupEffects) {
        for memberId in sortedMemberIds {
            completeJoin(of: memberId, with: .failure(code, memberId: memberId), &effects)
            completeSync(of: memberId, with: .failure(code), &effects)
        }
    }
}
