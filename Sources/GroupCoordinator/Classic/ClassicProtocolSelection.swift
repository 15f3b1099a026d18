import KafkaProtocol

extension ClassicGroup {
    /// Whether a member with these protocols can be in the group: the type is the group's, and at least one protocol is
    /// supported by everybody.
    func supports(_ request: JoinGroupRequest) -> Bool {
        if state == .empty { return !request.protocolType.isEmpty && !request.protocols.isEmpty }
        guard protocolType == request.protocolType else { return false }
        // Most members join again as they were, which needs no look at the others.
        if let member = members[request.memberId],
            member.supportedProtocols.elementsEqual(request.protocols, by: { $0.name == $1.name })
        {
            return true
        }
        return request.protocols.contains { candidate in
            members.values.allSatisfy { member in
                member.supportedProtocols.contains { $0.name == candidate.name }
            }
        }
    }

    /// The protocols that every member supports.
    private var commonProtocols: Set<String> {
        var supporters: [String: Int] = [:]
        for member in members.values {
            for name in Set(member.supportedProtocols.map(\.name)) { supporters[name, default: 0] += 1 }
        }
        return Set(supporters.filter { $0.value == members.count }.keys)
    }

    /// Each member votes for the first of its protocols that everybody supports. Ties go to the smaller name, so that
    /// the choice does not depend on the order of a hash table.
    func selectProtocol() -> String? {
        let common = commonProtocols
        var votes: [String: Int] = [:]
        for member in members.values {
            let vote = member.supportedProtocols.first { common.contains($0.name) }
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

    var topicsInUse: TopicsInUse {
        guard usesConsumerProtocol else { return .some([]) }
        return subscribedTopics.map { .some($0) } ?? .all
    }

    /// Later versions only append fields, so topics can be read from any of them.
    private static func subscribedTopics(in metadata: [UInt8]) -> [String]? {
        guard metadata.count >= 2, metadata[0] < 0x80 else { return nil }
        var cursor = ByteCursor(position: 2)
        return try? ConsumerProtocolSubscription(from: metadata.span.bytes, at: &cursor, version: 0).topics
    }
}
