import KafkaProtocol
import NIOCore

/// A client's connections to the brokers of a cluster, and what it knows of the cluster. Control plane: one hop a
/// request is no cost here, and the records of a fetch or produce request share theirs.
package actor Cluster {
    /// Which broker a request goes to.
    package enum Route: Sendable, Hashable {
        case any
        case controller
        case node(Int32)
        /// The coordinator of a group.
        case coordinator(group: String)
        /// The coordinator of a transactional id.
        case transactionCoordinator(String)
    }

    /// A broker answers a connection's requests in turn, so that those which wait there, such as a fetch for records or
    /// a join for the other members, have connections of their own.
    package enum Purpose: Sendable, Hashable {
        case general
        case fetch
        case coordinator
        /// Joins of groups, beside which heartbeats and commits go on.
        case rebalance
    }

    private struct ConnectionKey: Hashable {
        let address: BrokerAddress
        let purpose: Purpose
    }

    package nonisolated let bootstrap: [BrokerAddress]
    package nonisolated let options: ClientOptions
    package private(set) var view = ClusterView()
    private var connections: [ConnectionKey: Task<Result<BrokerConnection, ClientError>, Never>] = [:]
    private var coordinators: [CoordinatorKey: Int32] = [:]
    private var isClosed = false

    private struct CoordinatorKey: Hashable {
        /// As FindCoordinator numbers them.
        enum Kind: Int8 {
            case group = 0
            case transaction = 1
        }

        let kind: Kind
        let key: String

        init?(_ route: Route) {
            switch route {
            case .coordinator(let group): (kind, key) = (.group, group)
            case .transactionCoordinator(let id): (kind, key) = (.transaction, id)
            case .any, .controller, .node: return nil
            }
        }
    }

    package init(bootstrap: [BrokerAddress], options: ClientOptions = ClientOptions()) {
        precondition(!bootstrap.isEmpty)
        self.bootstrap = bootstrap
        self.options = options
    }

    deinit {
        // Whoever forgets to close it keeps no connections.
        for task in connections.values { Self.end(task) }
    }

    private static func end(_ task: Task<Result<BrokerConnection, ClientError>, Never>) {
        task.cancel()
        // One that is just being opened ends by itself: nobody waits for a broker that does not answer.
        Task { if case .success(let connection) = await task.value { connection.close() } }
    }

    /// Ends all connections, and opens none any more. Requests on their way fail with `connectionLost`.
    package func close() async {
        isClosed = true
        let open = connections.values
        connections = [:]
        for task in open { Self.end(task) }
    }

    // MARK: Connections

    /// A connection along `route`, opened when there is none. Throws `connectionFailed`, or `refused` when the
    /// coordinator is not known.
    package func connection(
        _ route: Route, for purpose: Purpose = .general
    ) async throws(ClientError) -> BrokerConnection {
        switch route {
        case .any:
            return try await anyConnection()
        case .controller:
            if view.controllerId == nil { try await refreshMetadata(of: []) }
            guard let controller = view.controllerId, let address = view.brokers[controller] else {
                return try await anyConnection()
            }
            return try await connectionToOne(at: address, for: purpose)
        case .node(let id):
            if view.brokers[id] == nil { try await refreshMetadata(of: []) }
            guard let address = view.brokers[id] else {
                let known = view.brokers.keys.sorted().map { "\($0)" }.joined(separator: ", ")
                throw ClientError(
                    .connectionFailed, "there is no broker \(id) in the cluster now",
                    nextStep: "its brokers are \(known)")
            }
            return try await connectionToOne(at: address, for: purpose)
        case .coordinator, .transactionCoordinator:
            let node = try await coordinator(CoordinatorKey(route)!)
            return try await connection(.node(node), for: purpose == .rebalance ? .rebalance : .coordinator)
        }
    }

    /// When the broker cannot be reached, the others say where it is now, or who does its work.
    private func connectionToOne(
        at address: BrokerAddress, for purpose: Purpose
    ) async throws(ClientError) -> BrokerConnection {
        do throws(ClientError) {
            return try await connection(to: address, for: purpose)
        } catch  where error.code == .connectionFailed {
            try await refreshMetadata(of: [])
            throw error.ofOneBroker()
        }
    }

    private func anyConnection() async throws(ClientError) -> BrokerConnection {
        var firstFailure: ClientError?
        // Known brokers first: the bootstrap list may be long out of date.
        let known = view.brokers.sorted { $0.key < $1.key }.map(\.value)
        for address in known + bootstrap.filter({ !known.contains($0) }) {
            do throws(ClientError) {
                return try await connection(to: address, for: .general)
            } catch {
                // Of several addresses, one that may come to life says more than one that nobody knows.
                if firstFailure?.isUnresolved ?? true { firstFailure = error }
            }
        }
        throw firstFailure ?? ClientError(.connectionFailed, "there is no broker to connect to")
    }

    private func connection(
        to address: BrokerAddress, for purpose: Purpose
    ) async throws(ClientError) -> BrokerConnection {
        try checkOpen()
        let key = ConnectionKey(address: address, purpose: purpose)
        if let task = connections[key] {
            let result = await task.value
            if case .success(let connection) = result, connection.isOpen { return connection }
            // Whoever comes first here makes the next attempt; the others join it.
            if connections[key] == task { connections[key] = nil }
            if let other = connections[key] { return try await other.value.get() }
            try checkOpen()
        }
        let options = options
        let task = Task { () async -> Result<BrokerConnection, ClientError> in
            do throws(ClientError) {
                return .success(try await BrokerConnection.open(address, options: options))
            } catch {
                return .failure(error)
            }
        }
        connections[key] = task
        let result = await task.value
        if case .failure = result, connections[key] == task { connections[key] = nil }
        return try result.get()
    }

    /// Ends the connection along `route`, if there is one: what is under way on it is not wanted any more.
    func endConnection(_ route: Route, for purpose: Purpose) {
        guard let key = CoordinatorKey(route), let node = coordinators[key], let address = view.brokers[node],
            let task = connections.removeValue(forKey: ConnectionKey(address: address, purpose: purpose))
        else { return }
        Self.end(task)
    }

    /// A connection that the caller owns, on an event loop of its choice.
    func ownConnection(to node: Int32, on loop: any EventLoop) async throws(ClientError) -> BrokerConnection {
        if view.brokers[node] == nil { try await refreshMetadata(of: []) }
        guard let address = view.brokers[node] else {
            throw ClientError(.connectionFailed, "there is no broker \(node) in the cluster now")
        }
        try checkOpen()
        do throws(ClientError) {
            return try await BrokerConnection.open(address, options: options, on: loop)
        } catch  where error.code == .connectionFailed {
            try await refreshMetadata(of: [])
            throw error.ofOneBroker()
        }
    }

    private func checkOpen() throws(ClientError) {
        if isClosed { throw ClientError(.closed, "the client is closed") }
    }

    // MARK: Metadata

    /// Asks for topics, nil for all; an empty list asks for the brokers alone. Topics are not made by asking, unless that is
    /// wanted.
    @discardableResult
    package func refreshMetadata(
        of topics: [String]?, allowsAutoTopicCreation: Bool = false
    ) async throws(ClientError) -> MetadataResponse {
        var request = MetadataRequest()
        request.topics = topics.map { names in
            names.map { name in
                var topic = MetadataRequest.MetadataRequestTopic()
                topic.name = name
                return topic
            }
        }
        request.allowAutoTopicCreation = allowsAutoTopicCreation
        let connection = try await anyConnection()
        var response = try await connection.send(request)
        // Brokers before Kafka 2.4 tell epochs of leaders that have passed (KAFKA-9212).
        if connection.version(of: MetadataRequest.self) ?? 0 < 9 {
            for topic in response.topics.indices {
                for partition in response.topics[topic].partitions.indices {
                    response.topics[topic].partitions[partition].leaderEpoch = -1
                }
            }
        }
        view.merge(response, isWhole: topics == nil)
        return response
    }

    /// A topic with all that is known of it. Asks again while the error may pass; a missing topic is reported at once.
    package func topic(_ name: String, refresh: Bool = false) async throws(ClientError) -> ClusterView.Topic {
        if !refresh, let topic = view.topics[name] { return topic }
        return try await retrying { () async throws(ClientError) in
            let response = try await self.refreshMetadata(of: [name])
            if let topic = await self.view.topics[name] { return topic }
            let code = response.topics.first.map { ErrorCode(rawValue: $0.errorCode) } ?? .unknownTopicOrPartition
            guard code == .unknownTopicOrPartition else { throw ClientError.refused(code, "topic '\(name)'") }
            throw ClientError(
                .invalidArgument, "there is no topic '\(name)'",
                nextStep: "create it with 'martlet topics create \(name)'", protocolCode: code)
        }
    }

    /// The broker that leads a partition; asks again while nobody does.
    package func leader(of partition: TopicPartition) async throws(ClientError) -> Int32 {
        if let leader = view.leader(of: partition) { return leader }
        return try await retrying { () async throws(ClientError) in
            let topic = try await self.topic(partition.topic, refresh: true)
            guard let found = topic.partitions.first(where: { $0.index == partition.partition }) else {
                throw ClientError(
                    .invalidArgument, "topic '\(topic.name)' has no partition \(partition.partition)",
                    nextStep: "it has \(topic.partitions.count), numbered from 0")
            }
            guard let leader = found.leader else { throw ClientError.refused(.leaderNotAvailable, "\(partition)") }
            return leader
        }
    }

    /// Forgets who leads the topics' partitions, after a broker said that it is another.
    package func refreshLeaders(of topics: some Sequence<String> & Sendable) async throws(ClientError) {
        try await refreshMetadata(of: Array(Set(topics)))
    }

    // MARK: Coordinators

    /// The broker that coordinates a group.
    func coordinatorNode(ofGroup group: String) async throws(ClientError) -> Int32 {
        try await coordinator(CoordinatorKey(.coordinator(group: group))!)
    }

    private func coordinator(_ wanted: CoordinatorKey) async throws(ClientError) -> Int32 {
        if let known = coordinators[wanted] { return known }
        var request = FindCoordinatorRequest()
        request.keyType = wanted.kind.rawValue
        let connection = try await anyConnection()
        // From version 4 the keys are a list.
        if let version = connection.version(of: FindCoordinatorRequest.self), version >= 4 {
            request.coordinatorKeys = [wanted.key]
        } else {
            request.key = wanted.key
        }
        let response = try await connection.send(request)
        let found = response.coordinators.first
        let code = ErrorCode(rawValue: found?.errorCode ?? response.errorCode)
        guard code == .none else {
            let subject = wanted.kind == .group ? "group" : "transactional id"
            throw .refused(code, "\(subject) '\(wanted.key)'", message: found?.errorMessage ?? response.errorMessage)
        }
        let node = found?.nodeId ?? response.nodeId
        coordinators[wanted] = node
        return node
    }

    // MARK: Requests with retries

    /// Sends a request along `route`. `failure` finds the error in a reply. Retriable errors are tried again with
    /// growing pauses until `options.operationTimeout`; after a lost connection only when `isRepeatable`, since the
    /// request may have been carried out.
    package func call<Request: ProtocolRequest>(
        _ request: Request, _ route: Route, maximumVersion: Int16 = .max, isRepeatable: Bool = true,
        timeout: Duration? = nil, failure: @Sendable (Request.Response) -> ClientError?
    ) async throws(ClientError) -> Request.Response {
        try await retrying(isRepeatable: isRepeatable) { () async throws(ClientError) in
            let connection = try await self.connection(route)
            let response = try await connection.send(request, maximumVersion: maximumVersion, timeout: timeout)
            guard let error = failure(response) else { return response }
            throw error
        } onFailure: { error in
            await self.forget(route, after: error)
        }
    }

    /// After an error on `route`: the next request asks anew who it is.
    func forget(_ route: Route, after error: ClientError) async {
        if let key = CoordinatorKey(route) {
            switch error.protocolCode {
            case .notCoordinator, .coordinatorNotAvailable, nil: coordinators[key] = nil
            default: break
            }
        }
        if route == .controller, error.protocolCode == .notController || error.code == .connectionLost {
            do throws(ClientError) {
                try await refreshMetadata(of: [])
            } catch {
                // The next attempt meets the same failure and reports it.
            }
        }
    }

    /// Tries `operation` again while it fails with errors that may pass.
    package nonisolated func retrying<Value: Sendable>(
        isRepeatable: Bool = true, _ operation: @Sendable () async throws(ClientError) -> Value,
        onFailure: @Sendable (ClientError) async -> Void = { _ in }
    ) async throws(ClientError) -> Value {
        let clock = ContinuousClock()
        let deadline = clock.now + options.operationTimeout
        var attempt = 1
        while true {
            do throws(ClientError) {
                return try await operation()
            } catch {
                // Nobody listens at any address: waiting would only hide that from the user.
                guard error.isRetriable, error.code != .connectionFailed || error.isOfOneBroker,
                    isRepeatable || error.code == .refused || error.code == .connectionFailed
                else { throw error }
                let pause = options.backoff.delay(after: attempt)
                guard clock.now + pause < deadline else { throw error }
                await onFailure(error)
                do {
                    try await Task.sleep(for: pause)
                } catch {
                    throw ClientError(.cancelled, "cancelled")
                }
                attempt += 1
            }
        }
    }
}
