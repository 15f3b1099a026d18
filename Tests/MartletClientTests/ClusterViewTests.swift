import KafkaProtocol
import MartletClient
import Testing

@Suite struct ClusterViewTests {
    private func topic(_ name: String, leaders: [Int32], error: ErrorCode = .none)
        -> MetadataResponse.MetadataResponseTopic
    {
        var topic = MetadataResponse.MetadataResponseTopic()
        topic.name = name
        topic.errorCode = error.rawValue
        topic.partitions = leaders.enumerated().reversed().map { index, leader in
            var partition = MetadataResponse.MetadataResponsePartition()
            partition.partitionIndex = Int32(index)
            partition.leaderId = leader
            return partition
        }
        return topic
    }

    private func response(_ topics: [MetadataResponse.MetadataResponseTopic]) -> MetadataResponse {
        var broker = MetadataResponse.MetadataResponseBroker()
        broker.nodeId = 3
        broker.host = "h"
        broker.port = 99
        var response = MetadataResponse()
        response.brokers = [broker]
        response.controllerId = 3
        response.topics = topics
        return response
    }

    @Test func topicsComeGoAndStay() {
        var view = ClusterView()
        view.merge(response([topic("a", leaders: [3, -1]), topic("b", leaders: [3])]))
        #expect(view.brokers == [3: BrokerAddress(host: "h", port: 99)])
        #expect(view.controllerId == 3)
        #expect(view.topics["a"]?.partitions.map(\.index) == [0, 1])
        #expect(view.leader(of: TopicPartition("a", 0)) == 3)
        #expect(view.leader(of: TopicPartition("a", 1)) == nil)
        #expect(view.leader(of: TopicPartition("a", 2)) == nil)

        view.merge(response([topic("a", leaders: [], error: .unknownTopicOrPartition)]))
        #expect(view.topics.keys.sorted() == ["b"])
    }
}
