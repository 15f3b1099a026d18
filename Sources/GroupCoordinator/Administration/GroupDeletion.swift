import KafkaProtocol

extension GroupCoordinatorShard {
    mutating func deleteGroups(_ request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        effects.isDivisible = true
        var response = DeleteGroupsResponse()
        response.results = request.groupsNames.map { groupId in
            let code = validateDeletion(groupId)
            if code == .none {
                deleteAllOffsets(of: groupId)
                deleteGroup(groupId)
            }
            return .result(groupId, code)
        }
        return response
    }

    private func validateDeletion(_ groupId: String) -> ErrorCode {
        if let group = classicGroups[groupId] { return group.state == .empty ? .none : .nonEmptyGroup }
        if let group = consumerGroups[groupId] { return group.members.isEmpty ? .none : .nonEmptyGroup }
        return .groupIdNotFound
    }

    /// Writes the tombstones of a group without members. Its offsets, if any, are not touched: a group that changes its
    /// protocol keeps them.
    mutating func deleteGroup(_ groupId: String) {
        if let group = classicGroups[groupId] {
            for memberId in group.pendingJoinMembers {
                effects.cancel(.classicSession(groupId: groupId, memberId: memberId))
            }
            effects.cancel(.classicJoin(groupId: groupId))
            effects.cancel(.classicSync(groupId: groupId))
            write(group.tombstone)
        } else if let group = consumerGroups[groupId] {
            for record in group.tombstones { write(record) }
        }
    }
}
