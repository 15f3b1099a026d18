import ClusterMetadata
import KafkaProtocol

/// DescribeQuorum: who keeps the metadata. Consensus is the metadata store's, so there is one voter, the controller; the
/// others observe. Offsets are the store's revisions.
enum DescribeQuorumHandler: RequestHandler {
    typealias Request = DescribeQuorumRequest
    typealias Response = DescribeQuorumResponse

    private static let topic = "__cluster_metadata"

    static func handle(_ request: Request, _ context: RequestContext) -> HandlerOutcome<Response> {
        let broker = context.broker
        let image = broker.cluster.image
        var response = Response()
        response.topics = request.topics.map { asked in
            var topic = Response.TopicData()
            topic.topicName = asked.topicName
            topic.partitions = asked.partitions.map { partition in
                var answer = Response.PartitionData()
                answer.partitionIndex = partition.partitionIndex
                guard asked.topicName == Self.topic, partition.partitionIndex == 0 else {
                    answer.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
                    answer.leaderId = -1
                    answer.leaderEpoch = -1
                    return answer
                }
                let revision = broker.cluster.observedRevision
                answer.leaderId = image.controllerId
                answer.leaderEpoch = Int32(clamping: image.controllerEpoch)
                answer.highWatermark = revision
                // Of the others this node knows only that they are there.
                func state(of id: Int32) -> Response.ReplicaState {
                    var state = Response.ReplicaState()
                    state.replicaId = id
                    state.logEndOffset = id == broker.cluster.nodeId || id == image.controllerId ? revision : -1
                    return state
                }
                answer.currentVoters = image.brokers.keys.filter { $0 == image.controllerId }.map(state)
                answer.observers = image.brokers.keys.filter { $0 != image.controllerId }.sorted().map(state)
                return answer
            }
            return topic
        }
        response.nodes = image.brokers.values.sorted { $0.nodeId < $1.nodeId }.map { registration in
            var node = Response.Node()
            node.nodeId = registration.nodeId
            node.listeners = registration.endpoints.map { endpoint in
                var listener = Response.Listener()
                listener.name = endpoint.listener
                listener.host = endpoint.host
                listener.port = UInt16(clamping: endpoint.port)
                return listener
            }
            return node
        }
        return .reply(response)
    }
}
