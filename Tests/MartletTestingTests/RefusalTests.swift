import KafkaProtocol
import MartletClient
import MartletTesting
import Testing

/// A refused request of every API in every version that the broker takes: the reply can be read, says the error and
/// no other, and names what was asked for.
@Suite struct RefusalTests {
    private struct Refuser {
        let client: WireClient
        let broker: TestBroker
        let topicId: Uuid
        var tried: [InterceptedAPI] = []

        /// `names` tells what of the request the reply names.
        mutating func refuse<Request: ProtocolRequest>(
            _ api: InterceptedAPI, _ type: Request.Type, names expected: String = "",
            _ names: (Request.Response, Int16) -> String,
            _ make: (Int16) -> Request
        ) async throws {
            let code = BrokerErrorCode.kafkaStorageError
            let newest = try #require(client.connection.version(of: Request.self))
            for version in Request.validVersions.lowerBound...newest {
                let hook = broker.intercept(api, times: 1) { _ in .fail(code) }
                let response = try await client.connection.send(make(version), maximumVersion: version)
                var codes: [Int16] = []
                response.forEachErrorCode { codes.append($0) }
                if let added = response as? AddPartitionsToTxnResponse { codes += added.partitionCodes }
                #expect(codes.contains(code.rawValue), "\(api) \(version)")
                #expect(codes.allSatisfy { $0 == code.rawValue || $0 == 0 }, "\(api) \(version): \(codes)")
                #expect(names(response, version) == expected, "\(api) \(version)")
                #expect(hook.hitCount == 1, "\(api) \(version)")
                hook.remove()
            }
            tried.append(api)
        }
    }

    @Test("every API, every version", .timeLimit(.minutes(1)))
    func all() async throws {
        try await withBroker { broker in
            try await broker.createTopic("t", partitions: 3)
            let client = try await WireClient.connect(to: broker)
            var ask = MetadataRequest()
            ask.topics = [.init()]
            ask.topics![0].name = "t"
            let id = try await client.connection.send(ask).topics[0].topicId
            var refuser = Refuser(client: client, broker: broker, topicId: id)
            try await data(&refuser)
            try await groups(&refuser)
            try await groupAdministration(&refuser)
            try await transactions(&refuser)
            try await topics(&refuser)
            try await cluster(&refuser)
            #expect(Set(refuser.tried) == Set(InterceptedAPI.all))
            #expect(refuser.tried.count == InterceptedAPI.all.count)
            #expect(try broker.endOffset(of: "t", partition: 1) == 0)
        }
    }

    private func data(_ refuser: inout Refuser) async throws {
        let id = refuser.topicId
        try await refuser.refuse(.produce, ProduceRequest.self, names: "t[1, 2]") { response, version in
            response.responses.map { topic in
                "\((version < 13 ? topic.name == "t" : topic.topicId == id) ? "t" : "?")"
                    + "\(topic.partitionResponses.map(\.index))"
            }.joined()
        } _: { version in
            var request = ProduceRequest()
            request.acks = 1
            request.topicData = [.init()]
            if version < 13 { request.topicData[0].name = "t" } else { request.topicData[0].topicId = id }
            request.topicData[0].partitionData = [.init(), .init()]
            request.topicData[0].partitionData[0].index = 1
            request.topicData[0].partitionData[1].index = 2
            return request
        }
        try await refuser.refuse(.fetch, FetchRequest.self, names: "t[1]") { response, version in
            response.responses.map { topic in
                "\((version < 13 ? topic.topic == "t" : topic.topicId == id) ? "t" : "?")"
                    + "\(topic.partitions.map(\.partitionIndex))"
            }.joined()
        } _: { version in
            var request = FetchRequest()
            request.topics = [.init()]
            if version < 13 { request.topics[0].topic = "t" } else { request.topics[0].topicId = id }
            request.topics[0].partitions = [.init()]
            request.topics[0].partitions[0].partition = 1
            return request
        }
        try await refuser.refuse(.listOffsets, ListOffsetsRequest.self, names: "t[1]") { response, _ in
            response.topics.map { "\($0.name)\($0.partitions.map(\.partitionIndex))" }.joined()
        } _: { _ in
            var request = ListOffsetsRequest()
            request.topics = [.init()]
            request.topics[0].name = "t"
            request.topics[0].partitions = [.init()]
            request.topics[0].partitions[0].partitionIndex = 1
            return request
        }
        try await refuser.refuse(.offsetForLeaderEpoch, OffsetForLeaderEpochRequest.self, names: "t[1]") {
            response, _ in
            response.topics.map { "\($0.topic)\($0.partitions.map(\.partition))" }.joined()
        } _: { version in
            var request = OffsetForLeaderEpochRequest()
            if version >= 3 { request.replicaId = -1 }
            request.topics = [.init()]
            request.topics[0].topic = "t"
            request.topics[0].partitions = [.init()]
            request.topics[0].partitions[0].partition = 1
            return request
        }
        let port = Int32(refuser.broker.port)
        try await refuser.refuse(.metadata, MetadataRequest.self, names: "t true") { response, _ in
            "\(response.topics.map { $0.name ?? "" }.joined()) \(response.brokers.map(\.port) == [port])"
        } _: { _ in
            var request = MetadataRequest()
            request.topics = [.init()]
            request.topics![0].name = "t"
            return request
        }
    }

    private func groups(_ refuser: inout Refuser) async throws {
        try await refuser.refuse(.findCoordinator, FindCoordinatorRequest.self, names: "g") { response, version in
            version >= 4 ? response.coordinators.map(\.key).joined() : "g"
        } _: { version in
            var request = FindCoordinatorRequest()
            if version >= 4 { request.coordinatorKeys = ["g"] } else { request.key = "g" }
            return request
        }
        try await refuser.refuse(.joinGroup, JoinGroupRequest.self) { _, _ in
            ""
        } _: { _ in
            var request = JoinGroupRequest()
            request.groupId = "g"
            return request
        }
        try await refuser.refuse(.syncGroup, SyncGroupRequest.self) { _, _ in
            ""
        } _: { _ in
            SyncGroupRequest()
        }
        try await refuser.refuse(.heartbeat, HeartbeatRequest.self) { _, _ in
            ""
        } _: { _ in
            HeartbeatRequest()
        }
        try await refuser.refuse(.leaveGroup, LeaveGroupRequest.self) { _, _ in
            ""
        } _: { _ in
            LeaveGroupRequest()
        }
        try await refuser.refuse(.consumerGroupHeartbeat, ConsumerGroupHeartbeatRequest.self) { _, _ in
            ""
        } _: { _ in
            ConsumerGroupHeartbeatRequest()
        }
        let id = refuser.topicId
        try await refuser.refuse(.offsetCommit, OffsetCommitRequest.self, names: "t[1]") { response, version in
            response.topics.map { topic in
                "\((version < 10 ? topic.name == "t" : topic.topicId == id) ? "t" : "?")"
                    + "\(topic.partitions.map(\.partitionIndex))"
            }.joined()
        } _: { version in
            var request = OffsetCommitRequest()
            request.groupId = "g"
            request.topics = [.init()]
            if version < 10 { request.topics[0].name = "t" } else { request.topics[0].topicId = id }
            request.topics[0].partitions = [.init()]
            request.topics[0].partitions[0].partitionIndex = 1
            return request
        }
        try await refuser.refuse(.offsetFetch, OffsetFetchRequest.self, names: "g") { response, version in
            version >= 8 ? response.groups.map(\.groupId).joined() : "g"
        } _: { version in
            var request = OffsetFetchRequest()
            if version >= 8 {
                request.groups = [.init()]
                request.groups[0].groupId = "g"
            } else {
                request.groupId = "g"
                request.topics = [.init()]
                request.topics![0].name = "t"
                request.topics![0].partitionIndexes = [1]
            }
            return request
        }
    }

    private func groupAdministration(_ refuser: inout Refuser) async throws {
        try await refuser.refuse(.offsetDelete, OffsetDeleteRequest.self) { _, _ in
            ""
        } _: { _ in
            OffsetDeleteRequest()
        }
        try await refuser.refuse(.describeGroups, DescribeGroupsRequest.self, names: "g") { response, _ in
            response.groups.map(\.groupId).joined()
        } _: { _ in
            var request = DescribeGroupsRequest()
            request.groups = ["g"]
            return request
        }
        try await refuser.refuse(.consumerGroupDescribe, ConsumerGroupDescribeRequest.self, names: "g") { response, _ in
            response.groups.map(\.groupId).joined()
        } _: { _ in
            var request = ConsumerGroupDescribeRequest()
            request.groupIds = ["g"]
            return request
        }
        try await refuser.refuse(.listGroups, ListGroupsRequest.self) { _, _ in
            ""
        } _: { _ in
            ListGroupsRequest()
        }
        try await refuser.refuse(.deleteGroups, DeleteGroupsRequest.self, names: "g") { response, _ in
            response.results.map(\.groupId).joined()
        } _: { _ in
            var request = DeleteGroupsRequest()
            request.groupsNames = ["g"]
            return request
        }
    }

    private func transactions(_ refuser: inout Refuser) async throws {
        try await refuser.refuse(.initProducerId, InitProducerIdRequest.self) { _, _ in
            ""
        } _: { _ in
            InitProducerIdRequest()
        }
        try await refuser.refuse(.addPartitionsToTxn, AddPartitionsToTxnRequest.self, names: "t[1]") {
            response, version in
            let topics =
                version >= 4 ? response.resultsByTransaction.flatMap(\.topicResults) : response.resultsByTopicV3AndBelow
            return topics.map { "\($0.name)\($0.resultsByPartition.map(\.partitionIndex))" }.joined()
        } _: { version in
            var request = AddPartitionsToTxnRequest()
            var topic = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
            topic.name = "t"
            topic.partitions = [1]
            if version >= 4 {
                request.transactions = [.init()]
                request.transactions[0].transactionalId = "x"
                request.transactions[0].topics = [topic]
            } else {
                request.v3AndBelowTransactionalId = "x"
                request.v3AndBelowTopics = [topic]
            }
            return request
        }
        try await refuser.refuse(.addOffsetsToTxn, AddOffsetsToTxnRequest.self) { _, _ in
            ""
        } _: { _ in
            AddOffsetsToTxnRequest()
        }
        try await refuser.refuse(.txnOffsetCommit, TxnOffsetCommitRequest.self, names: "t[1]") { response, _ in
            response.topics.map { "\($0.name)\($0.partitions.map(\.partitionIndex))" }.joined()
        } _: { _ in
            var request = TxnOffsetCommitRequest()
            request.topics = [.init()]
            request.topics[0].name = "t"
            request.topics[0].partitions = [.init()]
            request.topics[0].partitions[0].partitionIndex = 1
            return request
        }
        try await refuser.refuse(.endTxn, EndTxnRequest.self) { _, _ in
            ""
        } _: { _ in
            EndTxnRequest()
        }
    }

    private func topics(_ refuser: inout Refuser) async throws {
        try await refuser.refuse(.createTopics, CreateTopicsRequest.self, names: "new") { response, _ in
            response.topics.map(\.name).joined()
        } _: { _ in
            var request = CreateTopicsRequest()
            request.topics = [.init()]
            request.topics[0].name = "new"
            request.topics[0].numPartitions = 1
            request.topics[0].replicationFactor = 1
            return request
        }
        try await refuser.refuse(.deleteTopics, DeleteTopicsRequest.self, names: "t") { response, _ in
            response.responses.map { $0.name ?? "" }.joined()
        } _: { version in
            var request = DeleteTopicsRequest()
            if version >= 6 {
                request.topics = [.init()]
                request.topics[0].name = "t"
            } else {
                request.topicNames = ["t"]
            }
            return request
        }
        try await refuser.refuse(.createPartitions, CreatePartitionsRequest.self, names: "t") { response, _ in
            response.results.map(\.name).joined()
        } _: { _ in
            var request = CreatePartitionsRequest()
            request.topics = [.init()]
            request.topics[0].name = "t"
            request.topics[0].count = 9
            return request
        }
        try await refuser.refuse(.deleteRecords, DeleteRecordsRequest.self, names: "t[1]") { response, _ in
            response.topics.map { "\($0.name)\($0.partitions.map(\.partitionIndex))" }.joined()
        } _: { _ in
            var request = DeleteRecordsRequest()
            request.topics = [.init()]
            request.topics[0].name = "t"
            request.topics[0].partitions = [.init()]
            request.topics[0].partitions[0].partitionIndex = 1
            return request
        }
    }

    private func cluster(_ refuser: inout Refuser) async throws {
        try await refuser.refuse(.describeConfigs, DescribeConfigsRequest.self, names: "t") { response, _ in
            response.results.map(\.resourceName).joined()
        } _: { _ in
            var request = DescribeConfigsRequest()
            request.resources = [.init()]
            request.resources[0].resourceType = 2
            request.resources[0].resourceName = "t"
            return request
        }
        try await refuser.refuse(.incrementalAlterConfigs, IncrementalAlterConfigsRequest.self, names: "t") {
            response, _ in
            response.responses.map(\.resourceName).joined()
        } _: { _ in
            var request = IncrementalAlterConfigsRequest()
            request.resources = [.init()]
            request.resources[0].resourceType = 2
            request.resources[0].resourceName = "t"
            return request
        }
        try await refuser.refuse(.describeCluster, DescribeClusterRequest.self) { _, _ in
            ""
        } _: { _ in
            DescribeClusterRequest()
        }
    }
}

extension AddPartitionsToTxnResponse {
    /// Its partitions call their error by another name, which `forEachErrorCode` does not know.
    fileprivate var partitionCodes: [Int16] {
        (resultsByTopicV3AndBelow + resultsByTransaction.flatMap(\.topicResults)).flatMap { topic in
            topic.resultsByPartition.map(\.partitionErrorCode)
        }
    }
}
