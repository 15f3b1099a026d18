import Broker
import GroupCoordinator
import KafkaProtocol

extension FindCoordinatorRequest: RefusableRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> FindCoordinatorResponse {
        var response = FindCoordinatorResponse()
        if version >= 4 {
            response.coordinators = coordinatorKeys.map { key in
                var coordinator = FindCoordinatorResponse.Coordinator()
                coordinator.key = key
                coordinator.nodeId = -1
                coordinator.port = -1
                coordinator.errorCode = code.rawValue
                coordinator.errorMessage = nil
                return coordinator
            }
        } else {
            response.nodeId = -1
            response.port = -1
            response.errorCode = code.rawValue
            response.errorMessage = nil
        }
        return response
    }
}

extension InitProducerIdRequest: RefusableRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> InitProducerIdResponse {
        var response = InitProducerIdResponse()
        response.errorCode = code.rawValue
        response.producerId = -1
        response.producerEpoch = -1
        return response
    }
}

extension AddPartitionsToTxnRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        (v3AndBelowTopics + transactions.flatMap(\.topics)).map(\.name)
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> AddPartitionsToTxnResponse {
        func results(_ topics: [AddPartitionsToTxnTopic]) -> [Response.AddPartitionsToTxnTopicResult] {
            topics.map { topic in
                var result = Response.AddPartitionsToTxnTopicResult()
                result.name = topic.name
                result.resultsByPartition = topic.partitions.map { partition in
                    var single = Response.AddPartitionsToTxnPartitionResult()
                    single.partitionIndex = partition
                    single.partitionErrorCode = code.rawValue
                    return single
                }
                return result
            }
        }
        var response = Response()
        if version < 4 {
            response.resultsByTopicV3AndBelow = results(v3AndBelowTopics)
        } else {
            response.resultsByTransaction = transactions.map { transaction in
                var result = Response.AddPartitionsToTxnResult()
                result.transactionalId = transaction.transactionalId
                result.topicResults = results(transaction.topics)
                return result
            }
        }
        return response
    }
}

extension AddOffsetsToTxnRequest: RefusableRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> AddOffsetsToTxnResponse {
        var response = AddOffsetsToTxnResponse()
        response.errorCode = code.rawValue
        return response
    }
}

extension TxnOffsetCommitRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topics.map(\.name)
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> TxnOffsetCommitResponse {
        .failure(self, code)
    }
}

extension EndTxnRequest: RefusableRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> EndTxnResponse {
        var response = EndTxnResponse()
        response.errorCode = code.rawValue
        return response
    }
}
