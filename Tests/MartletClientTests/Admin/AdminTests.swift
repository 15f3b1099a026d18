import MartletTesting
import Testing

@testable import MartletClient

/// The admin client against a real broker.
@Suite(.timeLimit(.minutes(2))) struct AdminTests {
    private func withAdmin(
        _ settings: [String: String] = [:], _ body: @escaping @Sendable (Admin, any TestedBroker) async throws -> Void
    ) async throws {
        try await withTestedBroker(settings) { try await use($0) { try await body($0, $1) } }
    }

    private func use<Broker: TestedBroker>(
        _ broker: Broker, _ body: (Admin, Broker) async throws -> Void
    ) async throws {
        var configuration = AdminConfiguration(bootstrapServers: broker.addresses)
        configuration.retryBackoff = .milliseconds(10)
        configuration.maximumRetryBackoff = .milliseconds(50)
        configuration.operationTimeout = .seconds(20)
        let admin = try Admin(configuration: configuration)
        try await body(admin, broker)
        await admin.close()
        await #expect(throws: ClientError.self) { try await admin.describeCluster() }
    }

    private func produce(_ broker: any TestedBroker, _ topic: String, _ values: [String]) async throws {
        let producer = try Producer(
            configuration: ProducerConfiguration(bootstrapServers: broker.addresses))
        for value in values {
            try await producer.send(ProducerRecord(topic: topic, partition: 0, value: Array(value.utf8)))
        }
        await producer.close()
    }

    @Test func topicsAreMadeDescribedAndDeletedTogether() async throws {
        try await withAdmin { admin, _ in
            let made = try await admin.createTopics([
                NewTopic("a", partitionCount: 2), NewTopic("b", configuration: ["cleanup.policy": "compact"]),
                NewTopic("not a name"), NewTopic("c", replicaAssignments: [[1], [1], [1]]),
                NewTopic("d", partitionCount: 1, replicationFactor: 9),
            ])
            #expect(try made["a"]?.get().partitionCount == 2)
            #expect(try made["c"]?.get().partitionCount == 3)
            #expect(try made["b"]?.get().id.isEmpty == false)
            #expect(made["not a name"]?.failure?.protocolCode == .invalidTopicException)
            #expect(made["d"]?.failure?.protocolCode == .invalidReplicationFactor)
            let trial = try await admin.createTopics([NewTopic("e"), NewTopic("a")], validateOnly: true)
            #expect(trial["e"]?.failure == nil)
            #expect(trial["a"]?.failure?.protocolCode == .topicAlreadyExists)
            #expect(try await admin.topics().map(\.name) == ["a", "b", "c"])

            let described = try await admin.describeTopics(["a", "missing"])
            let first = try #require(try described["a"]?.get())
            #expect(first.partitions.map(\.number) == [0, 1])
            #expect(first.partitions.allSatisfy { $0.leader == 1 && $0.inSyncReplicas == [1] })
            #expect(described["missing"]?.failure?.protocolCode == .unknownTopicOrPartition)

            let grown = try await admin.createPartitions(["a": 5, "b": 1, "missing": 2])
            #expect(grown["a"]?.failure == nil)
            #expect(grown["b"]?.failure?.protocolCode == .invalidPartitions)
            #expect(grown["missing"]?.failure?.protocolCode == .unknownTopicOrPartition)
            #expect(try await admin.describeTopic("a").partitions.count == 5)

            let deleted = try await admin.deleteTopics(["a", "missing"])
            #expect(deleted["a"]?.failure == nil)
            #expect(deleted["missing"]?.failure?.protocolCode == .unknownTopicOrPartition)
            #expect(try await admin.topics().map(\.name) == ["b", "c"])
        }
    }

    @Test func aTopicTwiceInOneCallIsRefusedBeforeAnythingHappens() async throws {
        try await withAdmin { admin, _ in
            await #expect(throws: ClientError.self) { try await admin.createTopics([NewTopic("a"), NewTopic("a")]) }
            let topics = try await admin.topics()
            #expect(topics.isEmpty)
        }
    }

    @Test func recordsAreDeletedUpToAnOffset() async throws {
        try await withAdmin { admin, broker in
            try await admin.createTopic(NewTopic("t", partitionCount: 2))
            try await produce(broker, "t", ["0", "1", "2", "3", "4"])
            let results = try await admin.deleteRecords(before: [
                TopicPartition("t", 0): 3, TopicPartition("t", 1): .max, TopicPartition("t", 9): 1,
            ])
            #expect(try results[TopicPartition("t", 0)]?.get() == 3)
            #expect(try results[TopicPartition("t", 1)]?.get() == 0)
            #expect(results[TopicPartition("t", 9)]?.failure != nil)
            let beyond = try await admin.deleteRecords(before: [TopicPartition("t", 0): 77])
            #expect(beyond[TopicPartition("t", 0)]?.failure?.protocolCode == .offsetOutOfRange)
            let places = try await admin.offsets(at: [
                TopicPartition("t", 0): .earliest, TopicPartition("t", 1): .latest,
            ])
            #expect(try places[TopicPartition("t", 0)]?.get().offset == 3)
            #expect(try places[TopicPartition("t", 1)]?.get().offset == 0)
            let latest = try await admin.offsets(of: [TopicPartition("t", 0)], at: .maximumTimestamp)
            #expect(latest.values.first?.offset ?? -1 >= 3)
        }
    }

    @Test func configurationsOfSeveralOwners() async throws {
        try await withAdmin { admin, _ in
            try await admin.createTopic(NewTopic("t"))
            let changed = try await admin.changeConfigurations([
                .topic("t"): [
                    ConfigurationChange("retention.ms", .set("1000")),
                    ConfigurationChange("cleanup.policy", .append("compact")),
                ],
                .topic("missing"): [ConfigurationChange("retention.ms", .set("1"))],
            ])
            #expect(changed[.topic("t")]?.failure == nil)
            #expect(changed[.topic("missing")]?.failure?.protocolCode == .unknownTopicOrPartition)
            await #expect(throws: ClientError.self) {
                try await admin.changeConfigurations(of: .topic("t"), [ConfigurationChange("retention.ms", .set("x"))])
            }
            let described = try await admin.configurations(
                of: [.topic("t"), .broker(1), .topic("missing")], withDocumentation: true)
            let topic = try #require(try described[.topic("t")]?.get())
            #expect(topic.first { $0.name == "retention.ms" }?.value == "1000")
            #expect(topic.first { $0.name == "retention.ms" }?.source == .topic)
            #expect(topic.first { $0.name == "retention.ms" }?.documentation?.isEmpty == false)
            #expect(topic.first { $0.name == "cleanup.policy" }?.value == "delete,compact")
            #expect(try described[.broker(1)]?.get().contains { $0.name == "node.id" && $0.value == "1" } == true)
            #expect(described[.topic("missing")]?.failure != nil)
            try await admin.changeConfigurations(
                of: .topic("t"),
                [
                    ConfigurationChange("retention.ms", .reset),
                    ConfigurationChange("cleanup.policy", .subtract("delete")),
                ])
            let after = try await admin.configurations(of: .topic("t"))
            #expect(after.first { $0.name == "retention.ms" }?.source != .topic)
            #expect(after.first { $0.name == "cleanup.policy" }?.value == "compact")
        }
    }

    @Test func groupsAndTheirOffsets() async throws {
        try await withAdmin { admin, _ in
            try await admin.createTopic(NewTopic("t", partitionCount: 2))
            let partitions = [TopicPartition("t", 0), TopicPartition("t", 1)]
            let offset = ConsumedOffset(5, metadata: "note")
            let altered = try await admin.alterOffsets(
                [partitions[0]: offset, partitions[1]: ConsumedOffset(7), TopicPartition("missing", 0): offset], of: "g"
            )
            #expect(altered[partitions[0]]?.failure == nil && altered[partitions[1]]?.failure == nil)
            #expect(altered[TopicPartition("missing", 0)]?.failure?.protocolCode == .unknownTopicOrPartition)
            #expect(try await admin.committedOffsets(of: "g")[partitions[0]] == offset)
            #expect(try await admin.committedOffsets(of: "g", partitions: [partitions[1]]).count == 1)
            #expect(try await admin.groups().map(\.id) == ["g"])
            let described = try await admin.describeGroups(["g", "missing"])
            #expect(try described["g"]?.get().state == "Empty")
            #expect(described["missing"]?.failure?.protocolCode == .groupIdNotFound)
            let forgotten = try await admin.deleteOffsets(of: [partitions[1]], group: "g")
            #expect(forgotten[partitions[1]]?.failure == nil)
            #expect(try await admin.committedOffsets(of: "g").keys.sorted() == [partitions[0]])
            let gone = try await admin.deleteGroups(["g", "missing"])
            #expect(gone["g"]?.failure == nil)
            #expect(gone["missing"]?.failure?.protocolCode == .groupIdNotFound)
            #expect(try await admin.groups().isEmpty)
        }
    }

    @Test func theClusterAndItsFolders() async throws {
        try await withAdmin { admin, broker in
            try await admin.createTopic(NewTopic("t", partitionCount: 2))
            try await produce(broker, "t", ["x"])
            let cluster = try await admin.describeCluster()
            #expect(cluster.brokers.map(\.id) == [1])
            #expect(cluster.controller == 1)
            #expect(cluster.id?.isEmpty == false)
            let directories = try await admin.logDirectories(of: [1, 99])
            let own = try #require(try directories[1]?.get())
            #expect(own.count == 1 && own[0].failure == nil)
            #expect(own[0].replicas[TopicPartition("t", 0)]?.size ?? 0 > 0)
            #expect(own[0].replicas[TopicPartition("t", 1)]?.size == 0)
            #expect(directories[99]?.failure != nil)
            #expect(try await admin.reassignments().isEmpty)
            let elected = try await admin.electLeaders(of: [TopicPartition("t", 0)])
            #expect(elected[TopicPartition("t", 0)]?.failure?.protocolCode == .electionNotNeeded)
            let quorum = try await admin.describeQuorum()
            #expect(quorum.leader == 1 && quorum.voters.map(\.id) == [1] && quorum.observers.isEmpty)
            #expect(quorum.voters[0].logEndOffset == quorum.highWatermark)
            #expect(Set(try await admin.configurationOwners()) == [.topic("t"), .broker(1)])
            // It is there, and runs.
            let refusal = await #expect(throws: ClientError.self) { try await admin.unregisterBroker(1) }
            #expect(refusal?.protocolCode == .invalidRequest)
        }
    }

    @Test func staticMembersAreTakenOut() async throws {
        try await withAdmin { admin, broker in
            try await admin.createTopic(NewTopic("t"))
            var configuration = ConsumerConfiguration(bootstrapServers: broker.addresses, groupId: "g")
            configuration.groupInstanceId = "one"
            let consumer = try Consumer(configuration: configuration)
            try consumer.subscribe(to: ["t"])
            func memberCount() async throws -> Int? {
                switch try await admin.describeGroups(["g"])["g"] {
                case .success(let group): group.members.count
                case .failure(let error) where error.protocolCode == .groupIdNotFound: 0
                case let other: try other?.get().members.count
                }
            }
            while try await memberCount() != 1 {
                _ = try await consumer.nextBatches(timeout: .milliseconds(20))
            }
            // A static member stays in the group until its session runs out.
            await consumer.close()
            #expect(try await memberCount() == 1)
            let removed = try await admin.removeMembers(["one", "two"], from: "g")
            #expect(removed["one"]?.failure == nil)
            #expect(removed["two"]?.failure?.protocolCode == .unknownMemberId)
            #expect(try await memberCount() == 0)
        }
    }

    @Test func fencedProducersCannotGoOn() async throws {
        try await withAdmin { admin, broker in
            try await admin.createTopic(NewTopic("t"))
            var configuration = ProducerConfiguration(
                bootstrapServers: broker.addresses)
            configuration.transactionalId = "id"
            let producer = try Producer(configuration: configuration)
            try await producer.withTransaction { _ = try await $0.send(ProducerRecord(topic: "t", text: "x")) }
            #expect(try await admin.transactions().map(\.transactionalId) == ["id"])
            #expect(try await admin.producers(of: [TopicPartition("t", 0)]).count == 1)
            #expect(try await admin.fenceProducers(["id"])["id"]?.failure == nil)
            let error = await #expect(throws: ClientError.self) {
                try await producer.withTransaction { _ = try await $0.send(ProducerRecord(topic: "t", text: "y")) }
            }
            #expect(error?.code == .fenced)
            await producer.close()
        }
    }

    /// Errors that pass are tried again, for those things only that had them.
    @Test func whatPassesIsTriedAgain() async throws {
        try await withBroker { broker in
            try await use(broker) { admin, broker in
                broker.intercept(.createTopics, times: 2) { _ in .fail(.notController) }
                let made = try await admin.createTopics([NewTopic("t")])
                #expect(made["t"]?.failure == nil)
                broker.intercept(.deleteGroups, times: 1) { _ in .fail(.coordinatorLoadInProgress) }
                #expect(try await admin.deleteGroups(["g"])["g"]?.failure?.protocolCode == .groupIdNotFound)
            }
        }
    }
}
