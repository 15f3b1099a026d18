import KafkaProtocol

/// A group in a list.
public struct ListedGroup: Sendable, Hashable {
    /// `group.id`.
    public let id: String
    /// "Stable", "Empty", …; empty from brokers that are too old to say.
    public let state: String
    /// "classic" or "consumer"; empty from brokers that are too old to say.
    public let type: String
    /// "consumer" for consumers, other words for other uses of groups.
    public let protocolType: String
}

/// A group and its members.
public struct DescribedGroup: Sendable, Hashable {
    /// One of those who share the partitions.
    public struct Member: Sendable, Hashable {
        /// Another in each life of the member.
        public let id: String
        /// `group.instance.id` of a static member.
        public let instanceId: String?
        /// `client.id`.
        public let clientId: String
        /// The address from which it connects.
        public let host: String
        /// What it was given.
        public let partitions: [TopicPartition]
    }

    /// `group.id`.
    public let id: String
    /// "Stable", "Empty", "PreparingRebalance", …
    public let state: String
    /// "classic" or "consumer".
    public let type: String
    /// Who divides the partitions, by Kafka's name.
    public let assignor: String
    /// By no particular order.
    public let members: [Member]
}

extension Admin {
    /// The groups of all brokers, by id.
    public func groups() async throws(ClientError) -> [ListedGroup] {
        let brokers = try await describeCluster().brokers.map(\.id)
        var groups: [String: ListedGroup] = [:]
        for broker in brokers {
            let response = try await cluster.call(ListGroupsRequest(), .node(broker)) { response in
                ClientError.from(response.errorCode, "groups of broker \(broker)")
            }
            for group in response.groups {
                groups[group.groupId] = ListedGroup(
                    id: group.groupId, state: group.groupState, type: group.groupType.lowercased(),
                    protocolType: group.protocolType)
            }
        }
        return groups.values.sorted { $0.id < $1.id }
    }

    /// Groups and their members. One that is not there fails with GROUP_ID_NOT_FOUND.
    public func describeGroups(_ ids: [String]) async throws(ClientError) -> Results<String, DescribedGroup> {
        try await atCoordinators(ids) { connection, groups async throws(ClientError) in
            var results: Results<String, DescribedGroup> = [:]
            var classic = groups
            if connection.version(of: ConsumerGroupDescribeRequest.self) != nil {
                results = try await Self.describeConsumerGroups(groups, connection)
                // Those that are not of the new protocol are asked for as classic ones.
                classic = groups.filter {
                    let code = results[$0]?.failure?.protocolCode
                    return code == .groupIdNotFound || code == .unsupportedVersion
                }
            }
            if !classic.isEmpty {
                results.merge(try await Self.describeClassicGroups(classic, connection)) { $1 }
            }
            return results
        }
    }

    /// One group and its members. Throws `refused` with GROUP_ID_NOT_FOUND when there is none.
    public func describeGroup(_ id: String) async throws(ClientError) -> DescribedGroup {
        try await describeGroups([id]).only(id)
    }

    private static func describeConsumerGroups(
        _ ids: [String], _ connection: BrokerConnection
    ) async throws(ClientError) -> Results<String, DescribedGroup> {
        var request = ConsumerGroupDescribeRequest()
        request.groupIds = ids
        var results: Results<String, DescribedGroup> = [:]
        for group in try await connection.send(request).groups {
            results[group.groupId] = .of(
                ClientError.from(group.errorCode, "group '\(group.groupId)'", message: group.errorMessage),
                DescribedGroup(
                    id: group.groupId, state: group.groupState, type: "consumer", assignor: group.assignorName,
                    members: group.members.map { member in
                        DescribedGroup.Member(
                            id: member.memberId, instanceId: member.instanceId, clientId: member.clientId,
                            host: member.clientHost,
                            partitions: member.assignment.topicPartitions.flatMap { topic in
                                topic.partitions.map { TopicPartition(topic.topicName, $0) }
                            }.sorted())
                    }))
        }
        return results
    }

    private static func describeClassicGroups(
        _ ids: [String], _ connection: BrokerConnection
    ) async throws(ClientError) -> Results<String, DescribedGroup> {
        var request = DescribeGroupsRequest()
        request.groups = ids
        var results: Results<String, DescribedGroup> = [:]
        for group in try await connection.send(request).groups {
            let subject = "group '\(group.groupId)'"
            // Before version 6 a group that does not exist is a dead one.
            if group.errorCode == 0, group.groupState == "Dead" {
                results[group.groupId] = .failure(.refused(.groupIdNotFound, subject))
                continue
            }
            let members: [DescribedGroup.Member]
            do throws(ClientError) {
                members = try group.members.map { member throws(ClientError) in
                    DescribedGroup.Member(
                        id: member.memberId, instanceId: member.groupInstanceId, clientId: member.clientId,
                        host: member.clientHost,
                        partitions: group.protocolType == "consumer"
                            ? try ConsumerProtocol.assignment(member.memberAssignment) : [])
                }
            } catch {
                results[group.groupId] = .failure(error)
                continue
            }
            results[group.groupId] = .of(
                ClientError.from(group.errorCode, subject, message: group.errorMessage),
                DescribedGroup(
                    id: group.groupId, state: group.groupState, type: "classic", assignor: group.protocolData,
                    members: members))
        }
        return results
    }

    /// Deletes groups and their offsets. One with members fails with NON_EMPTY_GROUP.
    public func deleteGroups(_ ids: [String]) async throws(ClientError) -> Results<String, Void> {
        try await atCoordinators(ids) { connection, groups async throws(ClientError) in
            var request = DeleteGroupsRequest()
            request.groupsNames = groups
            var results: Results<String, Void> = [:]
            for result in try await connection.send(request).results {
                results[result.groupId] = .of(
                    ClientError.from(result.errorCode, "group '\(result.groupId)'"), ())
            }
            return results
        }
    }

    /// Takes static members out of a classic group, by `group.instance.id`, before their session runs out (KIP-345).
    public func removeMembers(
        _ instanceIds: [String], from group: String
    ) async throws(ClientError) -> Results<String, Void> {
        let cluster = cluster
        return try await batched(instanceIds, along: .coordinator(group: group)) { open async throws(ClientError) in
            var request = LeaveGroupRequest()
            request.groupId = group
            request.members = open.map { instance in
                var member = LeaveGroupRequest.MemberIdentity()
                member.groupInstanceId = instance
                return member
            }
            let response = try await cluster.connection(.coordinator(group: group)).send(request)
            if let error = ClientError.from(response.errorCode, "group '\(group)'") { throw error }
            var results: Results<String, Void> = [:]
            for member in response.members {
                guard let instance = member.groupInstanceId else { continue }
                results[instance] = .of(
                    ClientError.from(member.errorCode, "group '\(group)', member '\(instance)'"), ())
            }
            return results
        }
    }
}
