import KafkaProtocol

/// The requests that a shard answers. Those that name several groups (describe, delete, batched offset fetches) must
/// name only groups of this shard: the driver splits them by partition of `__consumer_offsets` and merges the replies.
package enum GroupRequest: Sendable, Equatable {
    case joinGroup(JoinGroupRequest)
    case syncGroup(SyncGroupRequest)
    case heartbeat(HeartbeatRequest)
    case leaveGroup(LeaveGroupRequest)
    case consumerGroupHeartbeat(ConsumerGroupHeartbeatRequest)
    case offsetCommit(OffsetCommitRequest)
    case offsetFetch(OffsetFetchRequest)
    case offsetDelete(OffsetDeleteRequest)
    case describeGroups(DescribeGroupsRequest)
    case consumerGroupDescribe(ConsumerGroupDescribeRequest)
    case listGroups(ListGroupsRequest)
    case deleteGroups(DeleteGroupsRequest)
}
