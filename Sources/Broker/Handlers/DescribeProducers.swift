import KafkaProtocol

/// DescribeProducers: who has written to a partition with sequence numbers (KIP-664).
enum DescribeProducersHandler: RequestHandler {
    typealias Request = DescribeProducersRequest

    static func handle(
        _ request: DescribeProducersRequest, _ context: RequestContext
    ) -> HandlerOutcome<DescribeProducersResponse> {
        let topics = context.loop.topics
        var response = DescribeProducersResponse()
        response.topics = request.topics.map { asked in
            var result = DescribeProducersResponse.TopicResponse()
            result.name = asked.name
            let topic = topics.topic(named: asked.name)
            result.partitions = asked.partitionIndexes.map { index in
                var answer = DescribeProducersResponse.PartitionResponse()
                answer.partitionIndex = index
                guard let leader = topic?.leader(of: index) else {
                    answer.errorCode = (topic?.refusal(of: index) ?? .unknownTopicOrPartition).rawValue
                    return answer
                }
                answer.activeProducers = leader.log.activeProducers().map { producer in
                    var state = DescribeProducersResponse.ProducerState()
                    state.producerId = producer.producerId
                    state.producerEpoch = Int32(producer.producerEpoch)
                    state.lastSequence = producer.lastSequence
                    state.lastTimestamp = producer.lastTimestamp
                    state.coordinatorEpoch = producer.coordinatorEpoch
                    state.currentTxnStartOffset = producer.transactionFirstOffset
                    return state
                }
                return answer
            }
            return result
        }
        return .reply(response)
    }
}
