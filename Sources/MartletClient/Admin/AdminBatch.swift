import NIOConcurrencyHelpers

extension Admin {
    /// What came of each of several things.
    public typealias Results<Item: Hashable, Value> = [Item: Result<Value, ClientError>]

    /// Does something with several things that one broker each is asked about, and again with those whose errors may pass,
    /// until `operationTimeout`. `round` takes the things that are open and says what came of them.
    func batched<Item: Hashable & Sendable, Value: Sendable>(
        _ items: some Sequence<Item>, along route: Cluster.Route? = nil,
        _ round: @Sendable (_ open: [Item]) async throws(ClientError) -> Results<Item, Value>
    ) async throws(ClientError) -> Results<Item, Value> {
        let progress = NIOLockedValueBox((open: Array(Set(items)), results: Results<Item, Value>()))
        guard !progress.withLockedValue({ $0.open.isEmpty }) else { return [:] }
        do throws(ClientError) {
            try await cluster.retrying { () async throws(ClientError) in
                let open = progress.withLockedValue { $0.open }
                let answers = try await round(open)
                let passing = progress.withLockedValue { progress -> ClientError? in
                    var first: ClientError?
                    progress.open = []
                    for item in open {
                        let answer =
                            answers[item]
                            ?? .failure(ClientError(.malformedReply, "the broker's reply says nothing of \(item)"))
                        progress.results[item] = answer
                        if case .failure(let error) = answer, Self.mayPass(error) {
                            progress.open.append(item)
                            first = first ?? error
                        }
                    }
                    return first
                }
                if let passing { throw passing }
            } onFailure: { error in
                if let route { await cluster.forget(route, after: error) }
            }
        } catch {
            let results = progress.withLockedValue { progress in
                // What has a result keeps it; the rest failed with the last error.
                for item in progress.open where progress.results[item] == nil {
                    progress.results[item] = .failure(error)
                }
                return progress.results
            }
            // Nobody could be reached at all.
            if results.values.allSatisfy({ if case .failure = $0 { true } else { false } }),
                error.code != .refused
            {
                throw error
            }
            return results
        }
        return progress.withLockedValue { $0.results }
    }

    /// A thing that is not there stays away more often than it is about to come.
    private static func mayPass(_ error: ClientError) -> Bool {
        error.isRetriable && error.protocolCode != .unknownTopicOrPartition && error.protocolCode != .unknownTopicId
    }

    /// As `batched`, for partitions that their leaders are asked about.
    func atLeaders<Value: Sendable>(
        _ partitions: some Sequence<TopicPartition>,
        _ ask:
            @escaping @Sendable (BrokerConnection, [TopicPartition]) async throws(ClientError) -> Results<
                TopicPartition, Value
            >
    ) async throws(ClientError) -> Results<TopicPartition, Value> {
        let cluster = cluster
        return try await batched(partitions) { open async throws(ClientError) in
            var view = await cluster.view
            let unknown = open.filter { view.leader(of: $0) == nil }
            if !unknown.isEmpty {
                try await cluster.refreshLeaders(of: unknown.map(\.topic))
                view = await cluster.view
            }
            var byLeader: [Int32: [TopicPartition]] = [:]
            var results: Results<TopicPartition, Value> = [:]
            for partition in open {
                if let leader = view.leader(of: partition) {
                    byLeader[leader, default: []].append(partition)
                } else {
                    let isThere = view.partition(partition) != nil
                    results[partition] = .failure(
                        .refused(isThere ? .leaderNotAvailable : .unknownTopicOrPartition, "\(partition)"))
                }
            }
            results.merge(await askEach(byLeader, for: .general, ask)) { $1 }
            let moved = results.filter { $0.value.failure?.isRetriable == true }
            if !moved.isEmpty {
                do throws(ClientError) {
                    try await cluster.refreshLeaders(of: moved.keys.map(\.topic))
                } catch {
                    // What the next round meets is reported.
                }
            }
            return results
        }
    }

    /// As `batched`, for groups that their coordinators are asked about.
    func atCoordinators<Value: Sendable>(
        _ groups: some Sequence<String>,
        _ ask: @escaping @Sendable (BrokerConnection, [String]) async throws(ClientError) -> Results<String, Value>
    ) async throws(ClientError) -> Results<String, Value> {
        let cluster = cluster
        return try await batched(groups) { open async throws(ClientError) in
            var byNode: [Int32: [String]] = [:]
            var results: Results<String, Value> = [:]
            for group in open {
                do throws(ClientError) {
                    byNode[try await cluster.coordinatorNode(ofGroup: group), default: []].append(group)
                } catch {
                    results[group] = .failure(error)
                }
            }
            results.merge(await askEach(byNode, for: .coordinator, ask)) { $1 }
            for case (let group, .failure(let error)) in results where error.isRetriable {
                await cluster.forget(.coordinator(group: group), after: error)
            }
            return results
        }
    }

    /// Asks each broker about its things. One that cannot be asked is the failure of its own things only.
    private func askEach<Item: Hashable & Sendable, Value: Sendable>(
        _ byNode: [Int32: [Item]], for purpose: Cluster.Purpose,
        _ ask: @Sendable (BrokerConnection, [Item]) async throws(ClientError) -> Results<Item, Value>
    ) async -> Results<Item, Value> {
        var results: Results<Item, Value> = [:]
        for (node, items) in byNode {
            do throws(ClientError) {
                results.merge(try await ask(try await cluster.connection(.node(node), for: purpose), items)) { $1 }
            } catch {
                for item in items { results[item] = .failure(error) }
            }
        }
        return results
    }
}

extension Result {
    /// The failure, when there is one.
    package var failure: Failure? {
        if case .failure(let error) = self { error } else { nil }
    }

    /// A result of a reply's part: its error, or the value.
    static func of(_ error: ClientError?, _ value: @autoclosure () -> Success) -> Self where Failure == ClientError {
        if let error { .failure(error) } else { .success(value()) }
    }
}

extension Dictionary {
    /// The one result of a call for one thing.
    func only<Success>(_ item: Key) throws(ClientError) -> Success where Value == Result<Success, ClientError> {
        guard let result = self[item] else {
            throw ClientError(.malformedReply, "the broker's reply says nothing of \(item)")
        }
        return try result.get()
    }
}
