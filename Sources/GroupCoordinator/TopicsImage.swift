import KafkaProtocol

/// The topics that exist, as far as groups need to know: a name, an id and a number of partitions each.
package struct TopicsImage: Sendable, Equatable {
    package struct Topic: Sendable, Equatable {
        package let id: Uuid
        package let name: String
        package let partitionCount: Int32

        package init(id: Uuid, name: String, partitionCount: Int32) {
            self.id = id
            self.name = name
            self.partitionCount = partitionCount
        }
    }

    package private(set) var topicsByName: [String: Topic] = [:]
    package private(set) var topicsById: [Uuid: Topic] = [:]

    package init(_ topics: [Topic] = []) {
        for topic in topics { insert(topic) }
    }

    /// Adds a topic or replaces the one of the same name; a recreated topic has another id.
    package mutating func insert(_ topic: Topic) {
        remove(name: topic.name)
        topicsByName[topic.name] = topic
        topicsById[topic.id] = topic
    }

    package mutating func remove(name: String) {
        guard let topic = topicsByName.removeValue(forKey: name) else { return }
        topicsById[topic.id] = nil
    }
}

/// The engine behind `SubscribedTopicRegex`. The driver chooses it (Kafka uses RE2), so that the coordinator depends on
/// no regular expression library and its running time is bounded by the driver's choice.
package protocol TopicPatternMatcher: Sendable {
    /// The topics whose whole name the pattern matches, or nil when the pattern is not valid.
    func topics(matching pattern: String, among topics: some Collection<String>) -> Set<String>?
}
