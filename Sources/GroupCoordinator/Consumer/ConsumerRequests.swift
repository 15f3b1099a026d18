import CoordinatorCore
import KafkaProtocol

/// The consumer protocol's requests: which group they are for, and whether it is, or can become, of that protocol.
extension GroupCoordinatorShard {
    mutating func consumerGroupHeartbeat(
        _ request: ConsumerGroupHeartbeatRequest, _ context: CoordinatorRequestContext,
        using generator: inout some RandomNumberGenerator
    ) -> ConsumerGroupHeartbeatResponse {
        do {
            try ConsumerHeartbeatValidation.validate(request, apiVersion: context.apiVersion, configuration)
            let isNewGroup = try findConsumerGroup(request)
            let environment = environment
            guard request.memberEpoch >= MemberEpoch.join else {
                return try consumerGroups[request.groupId]!.leave(request, environment, &effects)
            }
            let heartbeat = ConsumerHeartbeat(
                request: request, context: context,
                memberId: request.memberId.isEmpty
                    ? MemberIdGenerator.consumer(using: &generator) : request.memberId)
            guard isNewGroup else {
                return try consumerGroups[request.groupId]!.heartbeat(heartbeat, environment, &effects)
            }
            // Nothing remains of a group whose first member is refused.
            var group = ConsumerGroup(groupId: request.groupId)
            let recordsBefore = effects.records.count
            let response = try group.heartbeat(heartbeat, environment, &effects)
            if let classic = classicGroups.removeValue(forKey: request.groupId) {
                for memberId in classic.pendingJoinMembers {
                    effects.cancel(.classicSession(groupId: request.groupId, memberId: memberId))
                }
                effects.records.insert(classic.tombstone, at: recordsBefore)
            }
            consumerGroups[request.groupId] = group
            return response
        } catch {
            return .failure(error)
        }
    }

    /// Returns whether the group has to be made. A member that joins makes it, and takes over the name and the offsets
    /// of a classic group that nobody uses.
    private func findConsumerGroup(_ request: ConsumerGroupHeartbeatRequest) throws(GroupError) -> Bool {
        let groupId = request.groupId
        if consumerGroups[groupId] != nil { return false }
        guard request.memberEpoch == MemberEpoch.join else {
            throw GroupError(
                .groupIdNotFound,
                classicGroups[groupId] == nil
                    ? "Group \(groupId) not found." : "Group \(groupId) is not a consumer group.")
        }
        if let classic = classicGroups[groupId], classic.state != .empty {
            throw GroupError(
                .groupIdNotFound,
                "Cannot upgrade classic group \(groupId) to consumer group because the online upgrade is disabled.")
        }
        return true
    }
}
