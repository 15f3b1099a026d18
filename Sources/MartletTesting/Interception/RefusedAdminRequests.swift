import Broker
import KafkaProtocol

extension CreateTopicsRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topics.map(\.name)
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> CreateTopicsResponse {
        var response = CreateTopicsResponse()
        response.topics = topics.map { topic in
            var result = CreateTopicsResponse.CreatableTopicResult()
            result.name = topic.name
            result.errorCode = code.rawValue
            result.errorMessage = nil
            return result
        }
        return response
    }
}

extension DeleteTopicsRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topicNames + topics.map { broker.topicName($0.name, $0.topicId) }
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> DeleteTopicsResponse {
        let asked = version >= 6 ? topics.map { ($0.name, $0.topicId) } : topicNames.map { ($0, Uuid.zero) }
        var response = DeleteTopicsResponse()
        response.responses = asked.map { name, id in
            var result = DeleteTopicsResponse.DeletableTopicResult()
            result.name = name
            result.topicId = id
            result.errorCode = code.rawValue
            return result
        }
        return response
    }
}

extension CreatePartitionsRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topics.map(\.name)
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> CreatePartitionsResponse {
        var response = CreatePartitionsResponse()
        response.results = topics.map { topic in
            var result = CreatePartitionsResponse.CreatePartitionsTopicResult()
            result.name = topic.name
            result.errorCode = code.rawValue
            return result
        }
        return response
    }
}

extension DeleteRecordsRequest: RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] {
        topics.map(\.name)
    }

    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> DeleteRecordsResponse {
        var response = DeleteRecordsResponse()
        response.topics = topics.map { topic in
            var result = DeleteRecordsResponse.DeleteRecordsTopicResult()
            result.name = topic.name
            result.partitions = topic.partitions.map { partition in
                var single = DeleteRecordsResponse.DeleteRecordsPartitionResult()
                single.partitionIndex = partition.partitionIndex
                single.lowWatermark = -1
                single.errorCode = code.rawValue
                return single
            }
            return result
        }
        return response
    }
}

extension DescribeConfigsRequest: RefusableRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> DescribeConfigsResponse {
        var response = DescribeConfigsResponse()
        response.results = resources.map { resource in
            var result = DescribeConfigsResponse.DescribeConfigsResult()
            result.resourceType = resource.resourceType
            result.resourceName = resource.resourceName
            result.errorCode = code.rawValue
            result.errorMessage = nil
            return result
        }
        return response
    }
}

extension IncrementalAlterConfigsRequest: RefusableRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> IncrementalAlterConfigsResponse {
        var response = IncrementalAlterConfigsResponse()
        response.responses = resources.map { resource in
            var result = IncrementalAlterConfigsResponse.AlterConfigsResourceResponse()
            result.resourceType = resource.resourceType
            result.resourceName = resource.resourceName
            result.errorCode = code.rawValue
            result.errorMessage = nil
            return result
        }
        return response
    }
}

extension DescribeClusterRequest: RefusableRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> DescribeClusterResponse {
        var response = DescribeClusterResponse()
        response.errorCode = code.rawValue
        response.endpointType = endpointType
        return response
    }
}
