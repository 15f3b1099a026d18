import KafkaProtocol

/// A transactional id that a coordinator knows.
public struct ListedTransaction: Sendable, Equatable {
    /// `transactional.id`.
    public let transactionalId: String
    /// Of its last producer.
    public let producerId: Int64
    /// "Ongoing", "CompleteCommit", …
    public let state: String
    /// The node that coordinates it.
    public let coordinator: Int32
}

/// What a coordinator knows of a transactional id.
public struct DescribedTransaction: Sendable, Equatable {
    /// `transactional.id`.
    public let transactionalId: String
    /// "Ongoing", "CompleteCommit", …
    public let state: String
    /// Of its last producer.
    public let producerId: Int64
    /// Grows when a producer is fenced.
    public let producerEpoch: Int16
    /// After this time the coordinator aborts by itself.
    public let timeoutMilliseconds: Int32
    /// When the open transaction began, in milliseconds since the epoch; nil when none is open.
    public let startTime: Int64?
    /// Those that the open transaction has written to.
    public let partitions: [TopicPartition]
}

/// What a partition's log knows of one producer.
public struct PartitionProducer: Sendable, Equatable {
    /// Whose log it is.
    public let partition: TopicPartition
    /// Who has written.
    public let producerId: Int64
    /// Of the producer.
    public let producerEpoch: Int32
    /// Of its last record.
    public let lastSequence: Int32
    /// Of its last records, in milliseconds since the epoch.
    public let lastTimestamp: Int64
    /// Of the coordinator that ended its last transaction; -1 when there was none.
    public let coordinatorEpoch: Int32
    /// Where its open transaction begins; nil when none is open.
    public let transactionStart: Int64?
}

extension Admin {
    private static let openStates = ["Ongoing", "PrepareCommit", "PrepareAbort"]

    /// The transactional ids that the cluster knows, by id.
    ///
    /// - Parameters:
    ///   - states: only those in one of these states; empty for all.
    ///   - producerIds: only those of these producers; empty for all.
    ///   - minimumDuration: only transactions that are open for longer, in milliseconds; nil for all.
    public func transactions(
        states: [String] = [], producerIds: [Int64] = [], minimumDuration: Int64? = nil
    ) async throws(ClientError) -> [ListedTransaction] {
        try await cluster.refreshMetadata(of: [])
        var request = ListTransactionsRequest()
        // Brokers keep the start of transactions that are complete.
        request.stateFilters = minimumDuration != nil && states.isEmpty ? Self.openStates : states
        request.producerIdFilters = producerIds
        request.durationFilter = minimumDuration ?? -1
        var found: [ListedTransaction] = []
        for broker in await cluster.view.brokers.keys.sorted() {
            let response = try await cluster.call(request, .node(broker)) { response in
                ClientError.from(response.errorCode, "transactions of broker \(broker)")
            }
            if let unknown = response.unknownStateFilters.first {
                throw ClientError(
                    .invalidArgument, "there is no transaction state '\(unknown)'",
                    nextStep: "states are Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort")
            }
            found += response.transactionStates.map {
                ListedTransaction(
                    transactionalId: $0.transactionalId, producerId: $0.producerId, state: $0.transactionState,
                    coordinator: broker)
            }
        }
        return found.sorted { $0.transactionalId < $1.transactionalId }
    }

    /// Throws `refused` with TRANSACTIONAL_ID_NOT_FOUND when nobody has used the id.
    public func describeTransaction(_ id: String) async throws(ClientError) -> DescribedTransaction {
        var request = DescribeTransactionsRequest()
        request.transactionalIds = [id]
        let response = try await cluster.call(request, .transactionCoordinator(id)) { response in
            guard let state = response.transactionStates.first else { return .missingTransaction(id) }
            return ClientError.from(state.errorCode, "transactional id '\(id)'")
        }
        let state = response.transactionStates[0]
        return DescribedTransaction(
            transactionalId: id, state: state.transactionState, producerId: state.producerId,
            producerEpoch: state.producerEpoch, timeoutMilliseconds: state.transactionTimeoutMs,
            startTime: Self.openStates.contains(state.transactionState) ? state.transactionStartTimeMs : nil,
            partitions: state.topics.flatMap { topic in
                topic.partitions.map { TopicPartition(topic.topic, $0) }
            })
    }

    /// The producers that the leaders of these partitions remember. Throws the first failure.
    public func producers(
        of partitions: some Collection<TopicPartition> & Sendable
    ) async throws(ClientError) -> [PartitionProducer] {
        let results = try await atLeaders(partitions) { connection, partitions async throws(ClientError) in
            var request = DescribeProducersRequest()
            request.topics = Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
                var topic = DescribeProducersRequest.TopicRequest()
                topic.name = name
                topic.partitionIndexes = partitions.map(\.partition)
                return topic
            }
            var results: Results<TopicPartition, [PartitionProducer]> = [:]
            for topic in try await connection.send(request).topics {
                for entry in topic.partitions {
                    let partition = TopicPartition(topic.name, entry.partitionIndex)
                    results[partition] = .of(
                        ClientError.from(entry.errorCode, "\(partition)", message: entry.errorMessage),
                        entry.activeProducers.map { PartitionProducer($0, in: partition) })
                }
            }
            return results
        }
        var found: [PartitionProducer] = []
        for result in results.values { found += try result.get() }
        return found.sorted { ($0.partition, $0.producerId) < ($1.partition, $1.producerId) }
    }

    /// Fences the producers of transactional ids: they cannot write any more, and what they have open is aborted
    /// (KIP-360, `kafka-transactions.sh --fence`).
    public func fenceProducers(_ transactionalIds: [String]) async throws(ClientError) -> Results<String, Void> {
        var results: Results<String, Void> = [:]
        for id in Set(transactionalIds) {
            var request = InitProducerIdRequest()
            request.transactionalId = id
            // It is not going to have a transaction.
            request.transactionTimeoutMs = min(60_000, timeoutMilliseconds)
            do throws(ClientError) {
                _ = try await cluster.call(request, .transactionCoordinator(id)) { response in
                    ClientError.from(response.errorCode, "transactional id '\(id)'")
                }
                results[id] = .success(())
            } catch {
                results[id] = .failure(error)
            }
        }
        return results
    }

    /// Aborts what a producer has open in one partition, past its coordinator (KIP-664). For transactions that no
    /// coordinator will end any more: another one would find half of itself aborted.
    public func abortTransaction(_ producer: PartitionProducer) async throws(ClientError) {
        var marker = WriteTxnMarkersRequest.WritableTxnMarker()
        marker.producerId = producer.producerId
        marker.producerEpoch = Int16(clamping: producer.producerEpoch)
        marker.coordinatorEpoch = max(0, producer.coordinatorEpoch)
        marker.transactionResult = false
        var topic = WriteTxnMarkersRequest.WritableTxnMarkerTopic()
        topic.name = producer.partition.topic
        topic.partitionIndexes = [producer.partition.partition]
        marker.topics = [topic]
        var request = WriteTxnMarkersRequest()
        request.markers = [marker]
        let results: Results<TopicPartition, Void> = try await atLeaders([producer.partition]) {
            [request] connection, partitions async throws(ClientError) in
            let response = try await connection.send(request)
            guard let result = response.markers.first?.topics.first?.partitions.first else { return [:] }
            return [partitions[0]: .of(ClientError.from(result.errorCode, "\(partitions[0])"), ())]
        }
        try results.only(producer.partition)
    }
}

extension ClientError {
    fileprivate static func missingTransaction(_ id: String) -> ClientError {
        ClientError(.malformedReply, "the broker's reply says nothing of transactional id '\(id)'")
    }
}

extension PartitionProducer {
    fileprivate init(_ state: DescribeProducersResponse.ProducerState, in partition: TopicPartition) {
        self.partition = partition
        producerId = state.producerId
        producerEpoch = state.producerEpoch
        lastSequence = state.lastSequence
        lastTimestamp = state.lastTimestamp
        coordinatorEpoch = state.coordinatorEpoch
        transactionStart = state.currentTxnStartOffset < 0 ? nil : state.currentTxnStartOffset
    }
}
