import CoordinatorCore
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
    /// The driver takes the guard from the shard, asks the transaction's coordinator whether it is open, and then sends
    /// this.
    case txnOffsetCommit(TxnOffsetCommitRequest, guard: TransactionGuard)
    /// A transaction in which offsets of this shard's groups may have been committed is decided.
    case endTransaction(TransactionEnd)
}
