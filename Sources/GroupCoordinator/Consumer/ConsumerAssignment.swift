import KafkaProtocol

/// From subscriptions to a target assignment.
extension ConsumerGroup {
    /// Raises the group's epoch when the subscriptions, or the topics they are to, have changed.
    mutating func refreshSubscriptions(
        force: Bool, _ environment: ConsumerGroupEnvironment, _ effects: inout GroupEffects
    ) {
        let isOutdated = checkedTopicsVersion != environment.topicsVersion
        guard force || isOutdated || groupEpoch == 0 else { return }
        let hasNewMatches = isOutdated && resolvePatterns(environment)
        checkedTopicsVersion = environment.topicsVersion
        if force && !resolvedPatterns.isEmpty {
            let used = Set(members.values.compactMap(\.subscribedTopicRegex))
            resolvedPatterns = resolvedPatterns.filter { used.contains($0.key) }
        }
        let hasNewMetadata = writeSubscriptionMetadata(environment.topics, &effects)
        if force || hasNewMatches || hasNewMetadata || groupEpoch == 0 {
            // No group lives to see the last epoch; a damaged log may claim it.
            write(records.groupEpoch(groupEpoch == .max ? groupEpoch : groupEpoch + 1), &effects)
        }
    }

    /// Returns whether a pattern matches other topics than before. Patterns that were never resolved here (the log was
    /// just loaded) count as unchanged: if their topics changed, the subscription metadata shows it.
    private mutating func resolvePatterns(_ environment: ConsumerGroupEnvironment) -> Bool {
        var isChanged = false
        var resolved: [String: Set<String>] = [:]
        for pattern in Set(members.values.compactMap(\.subscribedTopicRegex)) {
            let topics = environment.patternMatcher.topics(
                matching: pattern, among: environment.topics.topicsByName.keys)
            resolved[pattern] = topics ?? []
            if let before = resolvedPatterns[pattern], before != resolved[pattern] { isChanged = true }
        }
        resolvedPatterns = resolved
        return isChanged
    }

    private mutating func writeSubscriptionMetadata(_ topics: TopicsImage, _ effects: inout GroupEffects) -> Bool {
        var metadata: [String: TopicMetadata] = [:]
        for member in members.values {
            for name in self.topics(of: member) where metadata[name] == nil {
                guard let topic = topics.topicsByName[name] else { continue }
                metadata[name] = TopicMetadata(id: topic.id, partitionCount: topic.partitionCount)
            }
        }
        guard metadata != subscriptionMetadata else { return false }
        write(records.subscriptionMetadata(metadata), &effects)
        return true
    }

    /// Computes the target assignment of the group's epoch and writes what differs.
    mutating func assign(_ environment: ConsumerGroupEnvironment, _ effects: inout GroupEffects) {
        let input = AssignmentInput(
            members: sortedMemberIds.map { id in
                let member = members[id]!
                return AssignmentMember(
                    memberId: id, instanceId: member.instanceId,
                    subscribedTopicIds: Set(topics(of: member).compactMap { subscriptionMetadata[$0]?.id }),
                    currentTarget: targetAssignment[id] ?? .empty)
            },
            topics: subscriptionMetadata.sorted { $0.key < $1.key }.map { name, metadata in
                AssignmentTopic(id: metadata.id, name: name, partitionCount: metadata.partitionCount)
            })
        let assignment = preferredAssignor(environment.configuration).assign(input)
        for memberId in sortedMemberIds {
            let target = assignment[memberId] ?? .empty
            if target != targetAssignment[memberId] ?? .empty {
                write(records.target(memberId, target), &effects)
            }
        }
        write(records.assignmentEpoch(groupEpoch), &effects)
    }
}
