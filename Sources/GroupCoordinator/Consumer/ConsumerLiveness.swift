import KafkaProtocol

/// Leaving, and silence.
extension ConsumerGroup {
    mutating func leave(
        _ request: ConsumerGroupHeartbeatRequest, _ environment: ConsumerGroupEnvironment,
        _ effects: inout GroupEffects
    ) throws(GroupError) -> ConsumerGroupHeartbeatResponse {
        var response = ConsumerGroupHeartbeatResponse()
        response.memberId = request.memberId
        response.memberEpoch = request.memberEpoch
        guard let instanceId = request.instanceId else {
            guard members[request.memberId] != nil else {
                throw GroupError(.unknownMemberId, "Member \(request.memberId) is not a member of group \(groupId).")
            }
            fence(request.memberId, environment, &effects)
            return response
        }
        guard var member = staticMember(instanceId) else {
            throw GroupError(.unknownMemberId, "Instance id \(instanceId) is unknown.")
        }
        guard member.memberId == request.memberId else {
            throw GroupError(
                .fencedInstanceId,
                "Static member \(request.memberId) with instance id \(instanceId) was fenced by member "
                    + "\(member.memberId).")
        }
        guard request.memberEpoch == MemberEpoch.leaveStatic else {
            fence(member.memberId, environment, &effects)
            return response
        }
        // It keeps its partitions until its session ends, so that a restart moves nothing. What it was giving up it has
        // given up by leaving.
        member.memberEpoch = MemberEpoch.leaveStatic
        member.partitionsPendingRevocation = .empty
        write(records.currentAssignment(member), &effects)
        effects.cancel(.consumerRebalance(groupId: groupId, memberId: member.memberId))
        return response
    }

    /// Removes a member; the others share its partitions from the next group epoch on.
    mutating func fence(
        _ memberId: String, _ environment: ConsumerGroupEnvironment, _ effects: inout GroupEffects
    ) {
        write(records.currentAssignmentTombstone(memberId), &effects)
        write(records.target(memberId, nil), &effects)
        write(records.memberMetadataTombstone(memberId), &effects)
        cancelTimers(of: memberId, &effects)
        refreshSubscriptions(force: true, environment, &effects)
    }

    /// The member did not give up its partitions in time. The timer is cancelled when it has.
    mutating func rebalanceTimedOut(
        _ memberId: String, _ environment: ConsumerGroupEnvironment, _ effects: inout GroupEffects
    ) {
        guard members[memberId]?.state == .unrevokedPartitions else { return }
        fence(memberId, environment, &effects)
    }

    mutating func sessionExpired(
        _ memberId: String, _ environment: ConsumerGroupEnvironment, _ effects: inout GroupEffects
    ) {
        guard members[memberId] != nil else { return }
        fence(memberId, environment, &effects)
    }

    func cancelTimers(of memberId: String, _ effects: inout GroupEffects) {
        effects.cancel(.consumerSession(groupId: groupId, memberId: memberId))
        effects.cancel(.consumerRebalance(groupId: groupId, memberId: memberId))
    }

    /// Gives every loaded member a full session to show up in.
    func startTimers(_ configuration: GroupConfiguration, _ effects: inout GroupEffects) {
        for memberId in sortedMemberIds {
            effects.schedule(
                .consumerSession(groupId: groupId, memberId: memberId),
                after: Int64(configuration.groupConsumerSessionTimeoutMs))
            scheduleRebalanceTimeout(of: members[memberId]!, &effects)
        }
    }

    /// The records that make the log forget the group.
    var tombstones: [GroupRecord] {
        let ids = sortedMemberIds
        return ids.map(records.currentAssignmentTombstone) + ids.map { records.target($0, nil) }
            + [records.assignmentEpoch(nil)] + ids.map(records.memberMetadataTombstone)
            + [records.subscriptionMetadata(nil), records.groupEpoch(nil)]
    }
}
