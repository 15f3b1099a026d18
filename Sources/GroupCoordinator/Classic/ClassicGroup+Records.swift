import KafkaProtocol

extension ClassicGroup {
    var metadataKey: GroupMetadataKey {
        var key = GroupMetadataKey()
        key.group = groupId
        return key
    }

    var tombstone: GroupRecord { .groupMetadata(metadataKey, nil) }

    /// The group as the log keeps it: written when a generation is complete, when a static member was replaced in one,
    /// and when the last member has gone.
    var metadataRecord: GroupRecord {
        var value = GroupMetadataValue()
        value.protocolType = protocolType ?? ""
        value.generation = generationId
        value.protocol = protocolName
        value.leader = leaderId
        value.currentStateTimestamp = currentStateTimestamp ?? -1
        value.members = sortedMemberIds.map { id in
            let member = members[id]!
            var stored = GroupMetadataValue.MemberMetadata()
            stored.memberId = member.memberId
            stored.groupInstanceId = member.groupInstanceId
            stored.clientId = member.clientId
            stored.clientHost = member.clientHost
            stored.rebalanceTimeout = member.rebalanceTimeoutMs
            stored.sessionTimeout = member.sessionTimeoutMs
            stored.subscription = protocolName.flatMap { member.metadata(for: $0) } ?? []
            stored.assignment = member.assignment
            return stored
        }
        return .groupMetadata(metadataKey, value)
    }

    /// The group that a record describes. Only the chosen protocol was stored; members bring the others when they join
    /// again.
    init(groupId: String, loading value: GroupMetadataValue) {
        self.init(groupId: groupId)
        protocolType = value.protocolType.isEmpty ? nil : value.protocolType
        protocolName = value.protocol
        generationId = value.generation
        leaderId = value.leader
        for stored in value.members {
            var supported = ClassicGroupMember.SupportedProtocol()
            supported.name = value.protocol ?? ""
            supported.metadata = stored.subscription
            var member = ClassicGroupMember(
                memberId: stored.memberId, groupInstanceId: stored.groupInstanceId, clientId: stored.clientId,
                clientHost: stored.clientHost, sessionTimeoutMs: stored.sessionTimeout,
                // Version 0 of the record has no rebalance timeout.
                rebalanceTimeoutMs: stored.rebalanceTimeout == -1 ? stored.sessionTimeout : stored.rebalanceTimeout,
                supportedProtocols: [supported])
            member.assignment = stored.assignment
            members[stored.memberId] = member
            if let instanceId = stored.groupInstanceId { staticMembers[instanceId] = stored.memberId }
        }
        if leaderId.map({ members[$0] == nil }) ?? true { leaderId = members.keys.min() }
        restore(
            state: members.isEmpty ? .empty : .stable,
            timestamp: value.currentStateTimestamp == -1 ? nil : value.currentStateTimestamp)
    }

    /// Gives every loaded member a full session to show up in.
    func startSessions(_ effects: inout GroupEffects) {
        for memberId in sortedMemberIds { scheduleSession(of: memberId, &effects) }
    }
}
