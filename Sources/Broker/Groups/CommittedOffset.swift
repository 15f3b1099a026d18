import CoordinatorCore
import GroupCoordinator
import KafkaProtocol

extension GroupService {
    /// Tells where a group goes on in a partition, nil when it has committed nothing there. The reply may come on any
    /// thread.
    package func committedOffset(
        of group: String, topic: String, partition: Int32,
        reply: @escaping @Sendable (Result<Int64?, ErrorCode>) -> Void
    ) {
        var topics = OffsetFetchRequest.OffsetFetchRequestTopic()
        topics.name = topic
        topics.partitionIndexes = [partition]
        var request = OffsetFetchRequest()
        request.groupId = group
        request.topics = [topics]
        let question = GroupRequest.offsetFetch(request)
        let context = CoordinatorRequestContext(apiVersion: 7, clientId: "", clientHost: "")
        // Behind the loading of the groups, if that goes on.
        shards.afterLoading { [shards] in
            guard let shard = shards.shard(of: group) else {
                // Nobody has asked for a coordinator yet.
                reply(.success(nil))
                return
            }
            shard.handle(question, context) { response in
                guard case .offsetFetch(let response) = response else {
                    preconditionFailure("the coordinator answered another request than was asked")
                }
                reply(response.onlyOffset)
            }
        }
    }
}

extension OffsetFetchResponse {
    fileprivate var onlyOffset: Result<Int64?, ErrorCode> {
        let partition = topics.first?.partitions.first
        let code = errorCode == 0 ? partition?.errorCode ?? 0 : errorCode
        guard code == 0 else { return .failure(ErrorCode(rawValue: code)) }
        return .success(partition.flatMap { $0.committedOffset >= 0 ? $0.committedOffset : nil })
    }
}
