import CoordinatorCore
import KafkaProtocol

package enum GroupResponse: WithdrawableResponse {
    case joinGroup(JoinGroupResponse)
    case syncGroup(SyncGroupResponse)
    case heartbeat(HeartbeatResponse)
    case leaveGroup(LeaveGroupResponse)
    case consumerGroupHeartbeat(ConsumerGroupHeartbeatResponse)
    case offsetCommit(OffsetCommitResponse)
    case offsetFetch(OffsetFetchResponse)
    case offsetDelete(OffsetDeleteResponse)
    case describeGroups(DescribeGroupsResponse)
    case consumerGroupDescribe(ConsumerGroupDescribeResponse)
    case listGroups(ListGroupsResponse)
    case deleteGroups(DeleteGroupsResponse)
    case txnOffsetCommit(TxnOffsetCommitResponse)
    case endTransaction(ErrorCode)
}
