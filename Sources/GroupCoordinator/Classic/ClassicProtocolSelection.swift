import KafkaProtocol

extension ClassicGroup {
    /// Whether a member with these protocols can be in the group: the type is the group's, and at least one protocol is
    /// supported by everybody.
    func supports(protocolType: String, _ protocols: [ClassicGroupMember.SupportedProtocol]) -> Bool {
        if state == .empty { return !protocolType.isEmpty && !protocols.isEmpty }
        guard self.protocolType == protocolType else { return false }
        return protocols.contains { candidate in
            members.values.allSatisfy { $0.metadata(for: candidate.name) != nil }
        }
    }

    /// Each member votes for the first of its protocols that everybody supports. Ties go to the smaller name, so that
    /// the choice does not depend on the order of a hash table.
    func selectProtocol() -> String? {
        var votes: [String: Int] = [:]
        for member in members.values {
            let vote = member.supportedProtocols.first { candidate in
                members.values.allSatisfy { $0.metadata(for: candidate.name) != nil }
            }
            if let vote { votes[vote.name, default: 0] += 1 }
        }
        return votes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
    }

    /// The topics that members read, or nil where nobody can tell: another protocol type, metadata of another format, or
    /// no protocol chosen yet. Offsets of unknown subscriptions are protected.
    var subscribedTopics: Set<String>? {
        guard usesConsumerProtocol else { return nil }
        if members.isEmpty { return [] }
        guard let protocolName else { return nil }
        var topics: Set<String> = []
        for member in members.values {
            guard let metadata = member.metadata(for: protocolName), let read = Self.subscribedTopics(in: metadata)
            else { return nil }
            topics.formUnion(read)
        }
        return topics
    }

    func isSubscribed(toTopic topic: String) -> Bool {
        guard usesConsumerProtocol else { return false }
        return subscribedTopics.map { $0.contains(topic) } ?? true
    }

    /// Later versions only append fields, so topics can be read from any of them.
    private static func subscribedTopics(in metadata: [UInt8]) -> [String]? {
        guard metadata.count >= 2, metadata[0] < 0x80 else { return nil }
        var cursor = ByteCursor(position: 2)
        return try? ConsumerProtocolSubscription(from: metadata.span.bytes, at: &cursor, version: 0).topics
    }
}
