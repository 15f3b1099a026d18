import KafkaProtocol

/// OffsetForLeaderEpoch: where an epoch's records end (KIP-320).
enum OffsetForLeaderEpochHandler: RequestHandler {
    typealias Request = OffsetForLeaderEpochRequest

    static func handle(
        _ request: OffsetForLeaderEpochRequest, _ context: RequestContext
    ) -> HandlerOutcome<OffsetForLeaderEpochResponse> {
        let topics = context.loop.topics
        var response = OffsetForLeaderEpochResponse()
        response.topics = request.topics.map { asked in
            var result = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult()
            result.topic = asked.topic
            let topic = topics.topic(named: asked.topic)
            result.partitions = asked.partitions.map { partition in
                var answer = OffsetForLeaderEpochResponse.EpochEndOffset()
                answer.partition = partition.partition
                guard let leader = topic?.leader(of: partition.partition) else {
                    answer.errorCode = (topic?.refusal(of: partition.partition) ?? .unknownTopicOrPartition).rawValue
                    return answer
                }
                answer.errorCode = ErrorCode(leaderEpoch: partition.currentLeaderEpoch, of: leader).rawValue
                guard answer.errorCode == ErrorCode.none.rawValue else { return answer }
                if let end = leader.end(ofEpoch: partition.leaderEpoch) {
                    answer.leaderEpoch = end.epoch
                    answer.endOffset = end.offset
                }
                return answer
            }
            return result
        }
        return .reply(response)
    }
}
