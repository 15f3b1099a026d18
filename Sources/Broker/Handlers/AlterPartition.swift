import ClusterMetadata
import KafkaProtocol

/// AlterPartition: a partition's leader asks the controller for another in-sync set (KIP-497).
enum AlterPartitionHandler: RequestHandler {
    typealias Request = AlterPartitionRequest

    /// Those that name topics by their ids and brokers with their epochs.
    static let versions: ClosedRange<Int16> = 3...3

    static func handle(
        _ request: AlterPartitionRequest, _ context: RequestContext
    ) -> HandlerOutcome<AlterPartitionResponse> {
        context.onControlThread { broker in alter(request, broker) }
    }

    /// On the control thread.
    static func alter(_ request: AlterPartitionRequest, _ broker: Broker) -> AlterPartitionResponse {
        var response = AlterPartitionResponse()
        guard broker.isController else {
            response.errorCode = ErrorCode.notController.rawValue
            return response
        }
        var draft = MetadataDraft(broker.cluster.image)
        do throws(MetadataRefusal) {
            try draft.image.checkBroker(request.brokerId, epoch: request.brokerEpoch)
        } catch {
            response.errorCode = error.code.rawValue
            return response
        }
        for topic in request.topics {
            var result = AlterPartitionResponse.TopicData()
            result.topicId = topic.topicId
            result.partitions = topic.partitions.map { alter($0, of: topic.topicId, request, &draft) }
            response.topics.append(result)
        }
        do throws(MetadataRefusal) {
            try broker.controller.store(draft.topics)
            return response
        } catch {
            var failed = AlterPartitionResponse()
            failed.errorCode = error.code.rawValue
            return failed
        }
    }

    private static func alter(
        _ asked: AlterPartitionRequest.PartitionData, of topicId: Uuid, _ request: AlterPartitionRequest,
        _ draft: inout MetadataDraft
    ) -> AlterPartitionResponse.PartitionData {
        var answer = AlterPartitionResponse.PartitionData()
        answer.partitionIndex = asked.partitionIndex
        let change = InSyncChange(
            topicId: topicId, partition: asked.partitionIndex, leaderEpoch: asked.leaderEpoch,
            partitionEpoch: asked.partitionEpoch,
            inSyncReplicas: asked.newIsrWithEpochs.map {
                InSyncChange.Replica(brokerId: $0.brokerId, brokerEpoch: $0.brokerEpoch)
            },
            leaderRecoveryState: asked.leaderRecoveryState)
        do throws(MetadataRefusal) {
            let outcome = try draft.image.alterPartition(
                change, from: request.brokerId, brokerEpoch: request.brokerEpoch)
            var partition = outcome.partition
            // A leader that asks for the set there is wants what it asked before to be outdated.
            if !outcome.isChanged { partition.partitionEpoch += 1 }
            draft.set(partition, of: outcome.reference)
            guard !outcome.hasNewLeader else {
                answer.errorCode = ErrorCode.newLeaderElected.rawValue
                return answer
            }
            answer.leaderId = partition.leader
            answer.leaderEpoch = partition.leaderEpoch
            answer.isr = partition.inSyncReplicas
            answer.partitionEpoch = partition.partitionEpoch
        } catch {
            answer.errorCode = error.code.rawValue
        }
        return answer
    }
}
