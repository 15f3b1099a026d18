package struct GroupOptions: Sendable {
    /// Without a heartbeat for so long, a member is out.
    package var sessionTimeout: Duration = .seconds(45)
    /// How long the others wait for a member when partitions are divided anew.
    package var rebalanceTimeout: Duration = .seconds(60)
    package var heartbeatInterval: Duration = .seconds(3)
    /// How often the group's leader looks for new partitions.
    package var metadataInterval: Duration = .seconds(30)
    package var commitInterval: Duration = .seconds(5)
    /// Where to begin in a partition without a committed offset.
    package var resetPolicy = ConsumerOptions.ResetPolicy.latest

    package init() {}
}
