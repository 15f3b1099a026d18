import KafkaProtocol
import Replication

/// ListOffsets: the offset at a time, or at the log's ends.
enum ListOffsetsHandler: RequestHandler {
    typealias Request = ListOffsetsRequest

    /// Timestamps with a meaning of their own.
    private enum Special {
        static let latest: Int64 = -1
        static let earliest: Int64 = -2
        static let maximumTimestamp: Int64 = -3
        static let earliestLocal: Int64 = -4
        static let latestTiered: Int64 = -5
        static let earliestPendingUpload: Int64 = -6
    }

    static func handle(
        _ request: ListOffsetsRequest, _ context: RequestContext
    ) -> HandlerOutcome<ListOffsetsResponse> {
        let topics = context.loop.topics
        var response = ListOffsetsResponse()
        response.topics = request.topics.map { asked in
            var result = ListOffsetsResponse.ListOffsetsTopicResponse()
            result.name = asked.name
            let topic = topics.topic(named: asked.name)
            result.partitions = asked.partitions.map { partition in
                var answer = ListOffsetsResponse.ListOffsetsPartitionResponse()
                answer.partitionIndex = partition.partitionIndex
                guard let leader = topic?.leader(of: partition.partitionIndex) else {
                    answer.errorCode =
                        (topic?.refusal(of: partition.partitionIndex) ?? .unknownTopicOrPartition).rawValue
                    return answer
                }
                find(
                    partition, leader, committedOnly: request.isolationLevel == 1, version: context.version,
                    into: &answer)
                return answer
            }
            return result
        }
        return .reply(response)
    }

    private static func find(
        _ partition: ListOffsetsRequest.ListOffsetsPartition, _ leader: PartitionLeader, committedOnly: Bool,
        version: Int16, into answer: inout ListOffsetsResponse.ListOffsetsPartitionResponse
    ) {
        answer.errorCode = ErrorCode(leaderEpoch: partition.currentLeaderEpoch, of: leader).rawValue
        guard answer.errorCode == ErrorCode.none.rawValue else { return }
        if partition.timestamp != Special.earliest, partition.timestamp != Special.earliestLocal, !leader.knowsCommitted
        {
            // What a leader before this one has shown must not seem to be gone (KIP-207).
            answer.errorCode = (version >= 5 ? ErrorCode.offsetNotAvailable : .leaderNotAvailable).rawValue
            return
        }
        let log = leader.log
        let end = leader.visibleEnd(committedOnly: committedOnly)
        do {
            switch partition.timestamp {
            case Special.latest:
                answer.offset = end
                answer.leaderEpoch = leader.leaderEpoch
            case Special.earliest, Special.earliestLocal:
                answer.offset = log.startOffset
                answer.leaderEpoch = log.leaderEpoch(at: log.startOffset) ?? leader.leaderEpoch
            case Special.latestTiered, Special.earliestPendingUpload:
                break  // There is no tiered storage: no such offset.
            case Special.maximumTimestamp:
                if let found = try log.maxTimestamp(), found.offset < end {
                    answer.offset = found.offset
                    answer.timestamp = found.timestamp
                    answer.leaderEpoch = found.leaderEpoch
                }
            case 0...:
                if let found = try log.offset(forTimestamp: partition.timestamp), found.offset < end {
                    answer.offset = found.offset
                    answer.timestamp = found.timestamp
                    answer.leaderEpoch = found.leaderEpoch
                }
            default:
                answer.errorCode = ErrorCode.unsupportedVersion.rawValue
            }
        } catch {
            answer.errorCode = ErrorCode(error).rawValue
        }
    }
}
