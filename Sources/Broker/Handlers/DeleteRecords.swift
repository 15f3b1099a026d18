import CommitLog
import KafkaProtocol

/// DeleteRecords: moves the log start offset up, so that older records are gone.
enum DeleteRecordsHandler: RequestHandler {
    typealias Request = DeleteRecordsRequest

    static func handle(
        _ request: DeleteRecordsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DeleteRecordsResponse> {
        let topics = context.loop.topics
        return context.onControlThread { broker in
            var response = DeleteRecordsResponse()
            response.topics = request.topics.map { topic in
                var result = DeleteRecordsResponse.DeleteRecordsTopicResult()
                result.name = topic.name
                result.partitions = topic.partitions.map { partition in
                    delete(partition, of: topics.topic(named: topic.name), broker)
                }
                return result
            }
            makeDurable(&response, broker)
            return response
        }
    }

    /// Deleted is deleted: the new start offsets are on stable storage before the client is told.
    private static func makeDurable(_ response: inout DeleteRecordsResponse, _ broker: Broker) {
        do {
            try broker.logs.writeStartOffsets()
        } catch {
            broker.logger.error("log.start-not-stored", metadata: ["error": "\(error)"])
            for topic in response.topics.indices {
                for partition in response.topics[topic].partitions.indices
                where response.topics[topic].partitions[partition].errorCode == ErrorCode.none.rawValue {
                    response.topics[topic].partitions[partition].errorCode = ErrorCode.kafkaStorageError.rawValue
                }
            }
        }
    }

    private static func delete(
        _ partition: DeleteRecordsRequest.DeleteRecordsPartition, of topic: Topic?, _ broker: Broker
    ) -> DeleteRecordsResponse.DeleteRecordsPartitionResult {
        var result = DeleteRecordsResponse.DeleteRecordsPartitionResult()
        result.partitionIndex = partition.partitionIndex
        result.lowWatermark = -1
        if let topic, topic.isInternal {
            result.errorCode = ErrorCode.invalidTopicException.rawValue
            return result
        }
        guard let leader = topic?.leader(of: partition.partitionIndex) else {
            result.errorCode =
                (topic?.refusal(of: partition.partitionIndex) ?? .unknownTopicOrPartition).rawValue
            return result
        }
        guard leader.log.currentConfiguration.cleanupPolicy.contains(.delete) else {
            result.errorCode = ErrorCode.policyViolation.rawValue
            return result
        }
        let highWatermark = leader.highWatermark
        let offset = partition.offset == -1 ? highWatermark : partition.offset
        guard offset >= 0, offset <= highWatermark else {
            result.errorCode = ErrorCode.offsetOutOfRange.rawValue
            return result
        }
        do {
            result.lowWatermark = try leader.log.deleteRecords(before: offset, now: broker.clock.wallMilliseconds)
        } catch {
            result.errorCode = ErrorCode(error).rawValue
        }
        return result
    }
}
