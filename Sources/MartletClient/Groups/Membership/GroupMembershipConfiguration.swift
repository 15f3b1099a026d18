/// `group.protocol`: how the members of a group come to their partitions.
public enum GroupProtocol: Sendable {
    /// One member, the leader, divides the partitions (KIP-62). All brokers have it.
    case classic
    /// The coordinator divides the partitions (KIP-848). Apache Kafka has it from version 4.0 on.
    case consumer
}

/// What a member of a group reads.
package enum TopicSubscription: Sendable, Equatable {
    case topics(Set<String>)
    /// Every topic whose whole name the regular expression matches, also those that are made later.
    case pattern(String)

    var pattern: String? {
        if case .pattern(let pattern) = self { pattern } else { nil }
    }
}

package struct GroupMembershipConfiguration: Sendable {
    /// `group.id`
    package var groupId: String
    /// `group.instance.id`: a static member, whose partitions wait for it while it is away for a short time (KIP-345).
    package var groupInstanceId: String?
    /// `group.protocol`
    package var groupProtocol = GroupProtocol.classic
    /// `partition.assignment.strategy`, the preferred one first. Classic groups only.
    package var strategies: [PartitionAssignmentStrategy] = [.range, .cooperativeSticky]
    /// `group.remote.assignor`; nil leaves it to the broker. Groups of the new protocol only.
    package var remoteAssignor: String?
    /// `client.rack`
    package var rackId: String?
    /// `session.timeout.ms`: without a heartbeat for so long a member is out. Classic groups only.
    package var sessionTimeout: Duration = .seconds(45)
    /// `heartbeat.interval.ms`. Classic groups only; with the new protocol the broker says it.
    package var heartbeatInterval: Duration = .seconds(3)
    /// `max.poll.interval.ms`: how long the others wait for a member that has to give partitions up.
    package var rebalanceTimeout: Duration = .seconds(300)
    /// `metadata.max.age.ms`: how often a classic group's leader looks for new partitions, and a member for new topics
    /// that its pattern matches.
    package var metadataMaximumAge: Duration = .seconds(300)
    /// `exclude.internal.topics`: a pattern matches none of the broker's own topics.
    package var excludesInternalTopics = true
    /// How long a member that leaves waits for the coordinator: once for its last commits, once for its goodbye.
    package var leaveTimeout: Duration = .seconds(3)

    package init(groupId: String) {
        self.groupId = groupId
    }
}
