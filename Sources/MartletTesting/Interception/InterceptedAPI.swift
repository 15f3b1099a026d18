import Broker
import KafkaProtocol
import NIOCore

/// An API whose requests can be intercepted. There are only those for which a reply can be made that says an error
/// about everything that a request names.
public struct InterceptedAPI: Sendable, Hashable, CustomStringConvertible {
    let apiKey: ApiKey
    /// A reply that refuses the request; nil when that cannot be read.
    let refuse: @Sendable (RequestFrame, ErrorCode, Broker) -> ByteBuffer?
    /// The names of the topics that a request is about.
    let topics: @Sendable (RequestFrame, Broker) -> Set<String>

    private init<Request: RefusableRequest>(_ type: Request.Type) {
        apiKey = Request.apiKey
        refuse = { frame, code, broker in
            do throws(ProtocolDecodingError) {
                let request = try frame.decoded(as: Request.self)
                return frame.reply(request.refused(code, version: frame.version, broker), Request.apiKey)
            } catch {
                return nil
            }
        }
        topics = { frame, broker in
            do throws(ProtocolDecodingError) {
                return Set(try frame.decoded(as: Request.self).topicNames(broker).filter { !$0.isEmpty })
            } catch {
                return []
            }
        }
    }

    /// Kafka's name for it.
    public var description: String { "\(apiKey)" }

    /// Two are equal when they are the same API.
    public static func == (left: InterceptedAPI, right: InterceptedAPI) -> Bool { left.apiKey == right.apiKey }

    /// Hashes the API's number.
    public func hash(into hasher: inout Hasher) { hasher.combine(apiKey) }
}

extension InterceptedAPI {
    /// Produce: records into partitions.
    public static let produce = InterceptedAPI(ProduceRequest.self)
    /// Fetch: records out of partitions.
    public static let fetch = InterceptedAPI(FetchRequest.self)
    /// ListOffsets: the offset at a time or at the ends.
    public static let listOffsets = InterceptedAPI(ListOffsetsRequest.self)
    /// Metadata: brokers, topics and who leads what. An error is each topic's.
    public static let metadata = InterceptedAPI(MetadataRequest.self)
    /// OffsetForLeaderEpoch: where a leader's epoch ended.
    public static let offsetForLeaderEpoch = InterceptedAPI(OffsetForLeaderEpochRequest.self)

    /// FindCoordinator: who has a group or a transactional id.
    public static let findCoordinator = InterceptedAPI(FindCoordinatorRequest.self)
    /// JoinGroup.
    public static let joinGroup = InterceptedAPI(JoinGroupRequest.self)
    /// SyncGroup.
    public static let syncGroup = InterceptedAPI(SyncGroupRequest.self)
    /// Heartbeat, of the classic protocol.
    public static let heartbeat = InterceptedAPI(HeartbeatRequest.self)
    /// LeaveGroup.
    public static let leaveGroup = InterceptedAPI(LeaveGroupRequest.self)
    /// ConsumerGroupHeartbeat, of the protocol of KIP-848.
    public static let consumerGroupHeartbeat = InterceptedAPI(ConsumerGroupHeartbeatRequest.self)
    /// OffsetCommit.
    public static let offsetCommit = InterceptedAPI(OffsetCommitRequest.self)
    /// OffsetFetch: how far groups have read.
    public static let offsetFetch = InterceptedAPI(OffsetFetchRequest.self)
    /// OffsetDelete.
    public static let offsetDelete = InterceptedAPI(OffsetDeleteRequest.self)
    /// DescribeGroups, of the classic protocol.
    public static let describeGroups = InterceptedAPI(DescribeGroupsRequest.self)
    /// ConsumerGroupDescribe.
    public static let consumerGroupDescribe = InterceptedAPI(ConsumerGroupDescribeRequest.self)
    /// ListGroups.
    public static let listGroups = InterceptedAPI(ListGroupsRequest.self)
    /// DeleteGroups.
    public static let deleteGroups = InterceptedAPI(DeleteGroupsRequest.self)

    /// InitProducerId.
    public static let initProducerId = InterceptedAPI(InitProducerIdRequest.self)
    /// AddPartitionsToTxn.
    public static let addPartitionsToTxn = InterceptedAPI(AddPartitionsToTxnRequest.self)
    /// AddOffsetsToTxn.
    public static let addOffsetsToTxn = InterceptedAPI(AddOffsetsToTxnRequest.self)
    /// TxnOffsetCommit.
    public static let txnOffsetCommit = InterceptedAPI(TxnOffsetCommitRequest.self)
    /// EndTxn: the commit or the abort.
    public static let endTxn = InterceptedAPI(EndTxnRequest.self)

    /// CreateTopics.
    public static let createTopics = InterceptedAPI(CreateTopicsRequest.self)
    /// DeleteTopics.
    public static let deleteTopics = InterceptedAPI(DeleteTopicsRequest.self)
    /// CreatePartitions.
    public static let createPartitions = InterceptedAPI(CreatePartitionsRequest.self)
    /// DeleteRecords.
    public static let deleteRecords = InterceptedAPI(DeleteRecordsRequest.self)
    /// DescribeConfigs.
    public static let describeConfigs = InterceptedAPI(DescribeConfigsRequest.self)
    /// IncrementalAlterConfigs.
    public static let incrementalAlterConfigs = InterceptedAPI(IncrementalAlterConfigsRequest.self)
    /// DescribeCluster.
    public static let describeCluster = InterceptedAPI(DescribeClusterRequest.self)

    /// All of them.
    public static let all: [InterceptedAPI] = [
        produce, fetch, listOffsets, metadata, offsetForLeaderEpoch, findCoordinator, joinGroup, syncGroup, heartbeat,
        leaveGroup, consumerGroupHeartbeat, offsetCommit, offsetFetch, offsetDelete, describeGroups,
        consumerGroupDescribe, listGroups, deleteGroups, initProducerId, addPartitionsToTxn, addOffsetsToTxn,
        txnOffsetCommit, endTxn, createTopics, deleteTopics, createPartitions, deleteRecords, describeConfigs,
        incrementalAlterConfigs, describeCluster,
    ]
}
