import CoordinatorCore
import KafkaProtocol

/// What a consumer group's handlers need from outside it.
struct ConsumerGroupEnvironment {
    let configuration: GroupConfiguration
    let topics: TopicsImage
    /// Counts up with every change of the topics.
    let topicsVersion: UInt64
    let patternMatcher: any TopicPatternMatcher
}

/// A valid ConsumerGroupHeartbeat of a member that joins or stays, with what came around it.
struct ConsumerHeartbeat {
    let request: ConsumerGroupHeartbeatRequest
    let context: CoordinatorRequestContext
    /// The request's member id, or a new one.
    let memberId: String

    var isJoining: Bool { request.memberEpoch == MemberEpoch.join }

    var owned: TopicPartitionSet? {
        request.topicPartitions.map { topics in TopicPartitionSet(topics.map { ($0.topicId, $0.partitions) }) }
    }

    /// A member that sends all it can, as after an error, wants the whole answer.
    var isFullRequest: Bool {
        request.rebalanceTimeoutMs != -1 && request.topicPartitions != nil
            && (request.subscribedTopicNames != nil || request.subscribedTopicRegex != nil)
    }
}

extension ConsumerGroup {
    var records: ConsumerGroupRecords { ConsumerGroupRecords(groupId: groupId) }

    /// Everything that can be refused is refused before the first record is written.
    mutating func heartbeat(
        _ heartbeat: ConsumerHeartbeat, _ environment: ConsumerGroupEnvironment, _ effects: inout GroupEffects
    ) throws(GroupError) -> ConsumerGroupHeartbeatResponse {
        let predecessor = try memberToContinue(heartbeat, environment)
        let updated = update(predecessor, with: heartbeat)
        let pattern = try resolve(updated, environment)

        // 1. The member and its subscription.
        if let predecessor, predecessor.memberId != heartbeat.memberId {
            replaceStaticMember(predecessor, with: updated, &effects)
        } else if let predecessor, Self.hasSameMetadata(predecessor, updated) {
            // Nothing to write.
        } else {
            write(records.memberMetadata(updated), &effects)
        }
        if let pattern { resolvedPatterns[pattern.regex] = pattern.topics }
        let hasChangedSubscription =
            predecessor?.subscribedTopicNames ?? [] != updated.subscribedTopicNames
            || predecessor?.subscribedTopicRegex != updated.subscribedTopicRegex
        refreshSubscriptions(force: hasChangedSubscription, environment, &effects)

        // 2. The target assignment.
        if groupEpoch > assignmentEpoch { assign(environment, &effects) }

        // 3. The member's way to it.
        let before = members[heartbeat.memberId]!
        let after = reconcile(
            before, heartbeat, changedSubscription: hasChangedSubscription ? environment : nil, &effects)
        effects.schedule(
            .consumerSession(groupId: groupId, memberId: after.memberId),
            after: Int64(environment.configuration.groupConsumerSessionTimeoutMs))

        var response = ConsumerGroupHeartbeatResponse()
        response.memberId = after.memberId
        response.memberEpoch = after.memberEpoch
        response.heartbeatIntervalMs = environment.configuration.groupConsumerHeartbeatIntervalMs
        if heartbeat.isJoining || heartbeat.isFullRequest || before.assignedPartitions != after.assignedPartitions {
            response.assignment = Self.wire(after.assignedPartitions)
        }
        return response
    }

    // MARK: Who is it

    /// The member that the heartbeat goes on with: itself, a static member that it replaces, or nil for a new one.
    private func memberToContinue(
        _ heartbeat: ConsumerHeartbeat, _ environment: ConsumerGroupEnvironment
    ) throws(GroupError) -> ConsumerGroupMember? {
        let memberId = heartbeat.memberId
        if members.count >= Int(environment.configuration.groupConsumerMaxSize) && members[memberId] == nil {
            throw GroupError(
                .groupMaxSizeReached,
                "The consumer group has reached its maximum capacity of \(members.count) members.")
        }
        guard let instanceId = heartbeat.request.instanceId else {
            guard let member = members[memberId] else {
                if heartbeat.isJoining { return nil }
                throw GroupError(.unknownMemberId, "Member \(memberId) is not a member of group \(groupId).")
            }
            try validateEpoch(of: member, heartbeat)
            return member
        }
        guard let member = staticMember(instanceId) else {
            if heartbeat.isJoining { return members[memberId] }
            throw GroupError(.unknownMemberId, "Instance id \(instanceId) is unknown.")
        }
        if heartbeat.isJoining {
            // The instance id is free again when its owner said that it leaves for a while, or when the owner itself
            // joins again.
            guard member.memberEpoch == MemberEpoch.leaveStatic || member.memberId == memberId else {
                throw GroupError(
                    .unreleasedInstanceId,
                    "Static member \(memberId) with instance id \(instanceId) cannot join the group because the "
                        + "instance id is owned by \(member.memberId) member.")
            }
            if members[memberId] != nil && member.memberId != memberId {
                throw GroupError(.invalidRequest, "Member \(memberId) is in the group under another instance id.")
            }
            return member
        }
        if member.memberId != memberId {
            throw GroupError(
                .fencedInstanceId,
                "Static member \(memberId) with instance id \(instanceId) was fenced by member \(member.memberId).")
        }
        try validateEpoch(of: member, heartbeat)
        return member
    }

    private func validateEpoch(
        of member: ConsumerGroupMember, _ heartbeat: ConsumerHeartbeat
    ) throws(GroupError) {
        let received = heartbeat.request.memberEpoch
        if member.state == .unknown && heartbeat.owned?.isEmpty != true {
            // A later version put it there. Without partitions it can start from scratch.
            throw GroupError(
                .fencedMemberEpoch,
                "The consumer group member is in an unknown state. The member must abandon all its partitions and "
                    + "rejoin.")
        }
        if heartbeat.isJoining || received == member.memberEpoch { return }
        if received > member.memberEpoch {
            throw GroupError(
                .fencedMemberEpoch,
                "The consumer group member has a greater member epoch (\(received)) than the one known by the group "
                    + "coordinator (\(member.memberEpoch)). The member must abandon all its partitions and rejoin.")
        }
        // The reply that raised the epoch may have been lost. A member that has nothing beyond its assignment may go on.
        if received == member.previousMemberEpoch, let owned = heartbeat.owned,
            owned.isSubset(of: member.assignedPartitions)
        {
            return
        }
        throw GroupError(
            .fencedMemberEpoch,
            "The consumer group member has a smaller member epoch (\(received)) than the one known by the group "
                + "coordinator (\(member.memberEpoch)). The member must abandon all its partitions and rejoin.")
    }

    // MARK: What has changed

    /// Null fields mean that nothing changed.
    private func update(
        _ predecessor: ConsumerGroupMember?, with heartbeat: ConsumerHeartbeat
    ) -> ConsumerGroupMember {
        let request = heartbeat.request
        var member = predecessor ?? ConsumerGroupMember(memberId: heartbeat.memberId)
        if member.memberId != heartbeat.memberId || member.memberEpoch == MemberEpoch.leaveStatic {
            member.memberId = heartbeat.memberId
            member.memberEpoch = 0
            member.previousMemberEpoch = 0
        }
        if let instanceId = request.instanceId { member.instanceId = instanceId }
        if let rackId = request.rackId { member.rackId = rackId }
        if request.rebalanceTimeoutMs != -1 { member.rebalanceTimeoutMs = request.rebalanceTimeoutMs }
        if let names = request.subscribedTopicNames { member.subscribedTopicNames = Set(names).sorted() }
        if let regex = request.subscribedTopicRegex { member.subscribedTopicRegex = regex.isEmpty ? nil : regex }
        if let assignor = request.serverAssignor { member.serverAssignor = assignor }
        member.clientId = heartbeat.context.clientId
        member.clientHost = heartbeat.context.clientHost
        return member
    }

    private static func hasSameMetadata(_ left: ConsumerGroupMember, _ right: ConsumerGroupMember) -> Bool {
        // The rest of a member is its assignment, which has records of its own.
        var right = right
        right.memberEpoch = left.memberEpoch
        right.previousMemberEpoch = left.previousMemberEpoch
        return left == right
    }

    private func resolve(
        _ member: ConsumerGroupMember, _ environment: ConsumerGroupEnvironment
    ) throws(GroupError) -> (regex: String, topics: Set<String>)? {
        guard let regex = member.subscribedTopicRegex, resolvedPatterns[regex] == nil else { return nil }
        guard
            let topics = environment.patternMatcher.topics(
                matching: regex, among: environment.topics.topicsByName.keys)
        else {
            throw GroupError(
                .invalidRegularExpression, "SubscribedTopicRegex `\(regex)` is not a valid regular expression.")
        }
        return (regex, topics)
    }

    private mutating func replaceStaticMember(
        _ old: ConsumerGroupMember, with new: ConsumerGroupMember, _ effects: inout GroupEffects
    ) {
        let target = targetAssignment[old.memberId]
        write(records.currentAssignmentTombstone(old.memberId), &effects)
        write(records.target(old.memberId, nil), &effects)
        write(records.memberMetadataTombstone(old.memberId), &effects)
        write(records.memberMetadata(new), &effects)
        if let target { write(records.target(new.memberId, target), &effects) }
        write(records.currentAssignment(new), &effects)
        cancelTimers(of: old.memberId, &effects)
    }

    // MARK: Moving on

    private mutating func reconcile(
        _ member: ConsumerGroupMember, _ heartbeat: ConsumerHeartbeat,
        changedSubscription environment: ConsumerGroupEnvironment?, _ effects: inout GroupEffects
    ) -> ConsumerGroupMember {
        if environment == nil && member.isReconciled(to: assignmentEpoch) { return member }
        let reconciler = MemberReconciler(
            targetEpoch: assignmentEpoch, target: targetAssignment[member.memberId] ?? .empty,
            owned: heartbeat.owned,
            changedSubscription: environment.map { environment in
                Set(topics(of: member).compactMap { environment.topics.topicsByName[$0]?.id })
            },
            isHeld: isHeld)
        let after = reconciler.reconcile(member)
        if after == member { return member }
        write(records.currentAssignment(after), &effects)
        scheduleRebalanceTimeout(of: after, &effects)
        return after
    }

    func scheduleRebalanceTimeout(of member: ConsumerGroupMember, _ effects: inout GroupEffects) {
        let timer = GroupTimer.consumerRebalance(groupId: groupId, memberId: member.memberId)
        if member.state == .unrevokedPartitions {
            effects.schedule(timer, after: Int64(member.rebalanceTimeoutMs))
        } else {
            effects.cancel(timer)
        }
    }

    static func wire(_ partitions: TopicPartitionSet) -> ConsumerGroupHeartbeatResponse.Assignment {
        var assignment = ConsumerGroupHeartbeatResponse.Assignment()
        assignment.topicPartitions = partitions.sorted.map { topicId, partitions in
            var topic = ConsumerGroupHeartbeatResponse.TopicPartitions()
            topic.topicId = topicId
            topic.partitions = partitions
            return topic
        }
        return assignment
    }
}
