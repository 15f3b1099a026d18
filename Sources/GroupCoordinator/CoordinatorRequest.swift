import KafkaProtocol

/// Names a request while its reply is outstanding. The driver makes them; they must be unique among open requests.
package struct RequestToken: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

/// What the request's header and connection say.
package struct RequestContext: Sendable, Equatable {
    package var apiVersion: Int16
    package var clientId: String
    package var clientHost: String

    package init(apiVersion: Int16, clientId: String, clientHost: String) {
        self.apiVersion = apiVersion
        self.clientId = clientId
        self.clientHost = clientHost
    }
}

/// The requests that a shard answers. Those that name several groups (describe, delete, batched offset fetches) must
/// name only groups of this shard: the driver splits them by partition of `__consumer_offsets` and merges the replies.
package enum CoordinatorRequest: Sendable, Equatable {
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
