import KafkaProtocol

/// A member's side of a rebalance: what it wants to read and what it has, for one strategy.
struct MemberSubscription: Sendable, Equatable {
    var topics: [String]
    /// What it has and keeps until it is told otherwise.
    var owned: [TopicPartition] = []
    /// The generation in which it was given `owned`, -1 for none.
    var generation: Int32 = -1
    var rackId: String?
    /// What strategies say beyond that.
    var userData: [UInt8]?

    /// Version 3, the highest there is. Readers of older ones stop before what they do not know.
    var encoded: [UInt8] {
        var message = ConsumerProtocolSubscription()
        message.topics = topics
        message.userData = userData
        message.ownedPartitions = ConsumerProtocol.grouped(owned).map { name, partitions in
            var topic = ConsumerProtocolSubscription.TopicPartition()
            topic.topic = name
            topic.partitions = partitions
            return topic
        }
        message.generationId = generation
        message.rackId = rackId
        return ConsumerProtocol.versioned(3, message)
    }

    /// Reads any version, as far as it is known here.
    static func decode(_ bytes: [UInt8]) throws(ClientError) -> MemberSubscription {
        try ConsumerProtocol.read(bytes) { span, cursor, version throws(ProtocolDecodingError) in
            let message = try ConsumerProtocolSubscription(from: span, at: &cursor, version: min(version, 3))
            return MemberSubscription(
                topics: message.topics,
                owned: message.ownedPartitions.flatMap { topic in
                    topic.partitions.map { TopicPartition(topic.topic, $0) }
                },
                generation: message.generationId, rackId: message.rackId, userData: message.userData)
        }
    }

    /// The member as the assignor of `strategy` sees it.
    func member(_ id: String, instanceId: String?, for strategy: PartitionAssignmentStrategy) -> AssignableMember {
        var member = AssignableMember(id: id, instanceId: instanceId, topics: topics)
        switch strategy {
        case .sticky:
            // Members have given everything up before they join; what they had stands in the user data alone.
            if let data = StickyUserData.decode(userData) {
                member.owned = data.partitions
                member.generation = data.generation
            }
        case .cooperativeSticky:
            member.owned = owned
            member.generation = generation >= 0 ? generation : StickyUserData.generation(userData)
        default: break
        }
        return member
    }
}

/// The user data of the sticky strategies.
struct StickyUserData: Sendable, Equatable {
    var partitions: [TopicPartition]
    var generation: Int32

    /// Version 1 of `sticky`. There is no version before it: who reads it tries 1, then 0.
    var encoded: [UInt8] {
        var message = StickyAssignorUserData()
        message.previousAssignment = ConsumerProtocol.grouped(partitions).map { name, partitions in
            var topic = StickyAssignorUserData.TopicPartition()
            topic.topic = name
            topic.partitions = partitions
            return topic
        }
        message.generation = generation
        return message.encoded(version: 1)
    }

    /// nil for none, and for what is in no known version: such a member has nothing to keep.
    static func decode(_ bytes: [UInt8]?) -> StickyUserData? {
        guard let bytes, !bytes.isEmpty else { return nil }
        for version in [1, 0] as [Int16] {
            do throws(ProtocolDecodingError) {
                let message = try StickyAssignorUserData.decode(bytes, version: version)
                return StickyUserData(
                    partitions: message.previousAssignment.flatMap { topic in
                        topic.partitions.map { TopicPartition(topic.topic, $0) }
                    },
                    generation: message.generation)
            } catch {
                // It may be in the other version.
            }
        }
        return nil
    }

    /// `cooperative-sticky` has the generation alone, for subscriptions of versions that lack it. Some clients put the
    /// data of `sticky` there.
    static func generation(_ bytes: [UInt8]?) -> Int32 {
        guard let bytes, bytes.count == 4 else { return decode(bytes)?.generation ?? -1 }
        return bytes.reduce(0) { $0 << 8 | Int32($1) }
    }

    static func encode(generation: Int32) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(generation)
        return writer.bytes
    }
}
