import KafkaProtocol

/// Who keeps a cluster's metadata, as DescribeQuorum tells it (KIP-595). Martlet's consensus is etcd's: there the controller is
/// the only voter, all other brokers observe, and offsets are etcd's revisions.
public struct QuorumDescription: Sendable, Hashable {
    /// One who keeps the metadata's log.
    public struct Replica: Sendable, Hashable {
        /// `node.id`.
        public let id: Int32
        /// The end of its log; nil when it is not known.
        public let logEndOffset: Int64?
        /// When it last had all that the leader had, in milliseconds since 1970; nil when that is not told.
        public let lastCaughtUp: Int64?
    }

    /// nil while there is none.
    public let leader: Int32?
    /// Counts up with each leader.
    public let leaderEpoch: Int32
    /// Below this the metadata is committed.
    public let highWatermark: Int64
    /// Whose word counts.
    public let voters: [Replica]
    /// Who only listens.
    public let observers: [Replica]
}

extension Admin {
    /// Who keeps the cluster's metadata. Throws `unsupportedVersion` where that is ZooKeeper.
    public func describeQuorum() async throws(ClientError) -> QuorumDescription {
        let name = "__cluster_metadata"
        var request = DescribeQuorumRequest()
        request.topics = [DescribeQuorumRequest.TopicData()]
        request.topics[0].topicName = name
        request.topics[0].partitions = [DescribeQuorumRequest.PartitionData()]
        let response = try await cluster.call(request, .any) { response in
            ClientError.from(response.errorCode, name, message: response.errorMessage)
                ?? Self.partition(of: response).flatMap {
                    ClientError.from($0.errorCode, name, message: $0.errorMessage)
                }
        }
        guard let partition = Self.partition(of: response) else {
            throw ClientError(.malformedReply, "the reply says nothing of \(name)")
        }
        return QuorumDescription(
            leader: partition.leaderId >= 0 ? partition.leaderId : nil, leaderEpoch: partition.leaderEpoch,
            highWatermark: partition.highWatermark, voters: partition.currentVoters.map(QuorumDescription.Replica.init),
            observers: partition.observers.map(QuorumDescription.Replica.init))
    }

    private static func partition(of response: DescribeQuorumResponse) -> DescribeQuorumResponse.PartitionData? {
        response.topics.first?.partitions.first
    }
}

extension QuorumDescription.Replica {
    fileprivate init(_ state: DescribeQuorumResponse.ReplicaState) {
        id = state.replicaId
        logEndOffset = state.logEndOffset >= 0 ? state.logEndOffset : nil
        lastCaughtUp = state.lastCaughtUpTimestamp >= 0 ? state.lastCaughtUpTimestamp : nil
    }
}
