import KafkaProtocol

extension Administrator {
    package struct CreatedTopic: Sendable {
        package let name: String
        package let id: Uuid
        /// nil when the broker is too old to say.
        package let partitionCount: Int32?
        package let replicationFactor: Int16?
    }

    /// Creates a topic. nil leaves the number to the broker. Throws `refused`.
    package func createTopic(
        _ name: String, partitions: Int32?, replicationFactor: Int16?, configuration: [(name: String, value: String)]
    ) async throws(ClientError) -> CreatedTopic {
        var topic = CreateTopicsRequest.CreatableTopic()
        topic.name = name
        topic.numPartitions = partitions ?? -1
        topic.replicationFactor = replicationFactor ?? -1
        topic.configs = configuration.map { entry in
            var config = CreateTopicsRequest.CreatableTopicConfig()
            config.name = entry.name
            config.value = entry.value
            return config
        }
        var request = CreateTopicsRequest()
        request.topics = [topic]
        request.timeoutMs = timeoutMilliseconds
        let response = try await cluster.call(request, .controller, isRepeatable: false) { response in
            guard let result = response.topics.first else {
                return ClientError(.malformedReply, "the broker's reply says nothing of topic '\(name)'")
            }
            return ClientError.from(result.errorCode, "topic '\(name)'", message: result.errorMessage)
        }
        let result = response.topics[0]
        return CreatedTopic(
            name: name, id: result.topicId, partitionCount: result.numPartitions >= 0 ? result.numPartitions : nil,
            replicationFactor: result.replicationFactor >= 0 ? result.replicationFactor : nil)
    }

    /// All topics, by name.
    package func topics() async throws(ClientError) -> [ClusterView.Topic] {
        try await cluster.refreshMetadata(of: nil)
        return await cluster.view.topics.values.sorted { $0.name < $1.name }
    }

    /// Deletes topics; each with its failure, or nil.
    package func deleteTopics(_ names: [String]) async throws(ClientError) -> [(name: String, failure: ClientError?)] {
        var request = DeleteTopicsRequest()
        // From version 6 on a list of structs, before one of names.
        let isNew = (try await cluster.connection(.controller).version(of: DeleteTopicsRequest.self) ?? 0) >= 6
        if isNew {
            request.topics = names.map { name in
                var topic = DeleteTopicsRequest.DeleteTopicState()
                topic.name = name
                return topic
            }
        } else {
            request.topicNames = names
        }
        request.timeoutMs = timeoutMilliseconds
        let response = try await cluster.call(request, .controller, isRepeatable: false) { response in
            firstRetriable(response.responses.map { ClientError.from($0.errorCode, "topic") })
        }
        return response.responses.map { result in
            let name = result.name ?? "\(result.topicId)"
            return (name, ClientError.from(result.errorCode, "topic '\(name)'", message: result.errorMessage))
        }
    }

    /// Gives a topic more partitions, `count` in all.
    package func createPartitions(_ name: String, count: Int32) async throws(ClientError) {
        var topic = CreatePartitionsRequest.CreatePartitionsTopic()
        topic.name = name
        topic.count = count
        topic.assignments = nil
        var request = CreatePartitionsRequest()
        request.topics = [topic]
        request.timeoutMs = timeoutMilliseconds
        _ = try await cluster.call(request, .controller, isRepeatable: false) { response in
            let errors = response.results.map {
                ClientError.from($0.errorCode, "topic '\(name)'", message: $0.errorMessage)
            }
            return errors.lazy.compactMap(\.self).first
        }
    }
}
