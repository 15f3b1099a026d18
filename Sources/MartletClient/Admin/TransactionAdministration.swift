import KafkaProtocol

package struct ListedTransaction: Sendable, Equatable {
    package let transactionalId: String
    package let producerId: Int64
    /// "Ongoing", "CompleteCommit", …
    package let state: String
    /// The node that coordinates it.
    package let coordinator: Int32
}

package struct DescribedTransaction: Sendable, Equatable {
    package let transactionalId: String
    package let state: String
    package let producerId: Int64
    package let producerEpoch: Int16
    package let timeoutMilliseconds: Int32
    /// When the open transaction began, in milliseconds since the epoch; nil when none is open.
    package let startTime: Int64?
    package let partitions: [TopicPartition]
}

/// What a partition's log knows of one producer.
package struct PartitionProducer: Sendable, Equatable {
    package let partition: TopicPartition
    package let producerId: Int64
    package let producerEpoch: Int32
    package let lastSequence: Int32
    /// Of its last records, in milliseconds since the epoch.
    package let lastTimestamp: Int64
    /// Of the coordinator that ended its last transaction; -1 when there was none.
    package let coordinatorEpoch: Int32
    /// Where its open transaction begins; nil when none is open.
    package let transactionStart: Int64?
}

extension Administrator {
    private static let openStates = ["Ongoing", "PrepareCommit", "PrepareAbort"]

    /// The transactional ids that the cluster knows, by id.
    ///
    /// - Parameters:
    ///   - states: only those in one of these states; empty for all.
    ///   - producerIds: only those of these producers; empty for all.
    ///   - minimumDuration: only transactions that are open for longer, in milliseconds; nil for all.
    package func transactions(
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
    package func describeTransaction(_ id: String) async throws(ClientError) -> DescribedTransaction {
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

    /// The producers that the leaders of these partitions remember.
    package func producers(
        of partitions: some Collection<TopicPartition> & Sendable
    ) async throws(ClientError) -> [PartitionProducer] {
        try await cluster.retrying { () async throws(ClientError) in
            do throws(ClientError) {
                return try await self.producersOnce(of: partitions)
            } catch {
                if error.isRetriable { try await self.cluster.refreshLeaders(of: partitions.map(\.topic)) }
                throw error
            }
        }
    }

    private func producersOnce(
        of partitions: some Collection<TopicPartition> & Sendable
    ) async throws(ClientError) -> [PartitionProducer] {
        var byLeader: [Int32: [TopicPartition]] = [:]
        for partition in partitions {
            byLeader[try await cluster.leader(of: partition), default: []].append(partition)
        }
        var found: [PartitionProducer] = []
        for (leader, partitions) in byLeader {
            var request = DescribeProducersRequest()
            request.topics = Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
                var topic = DescribeProducersRequest.TopicRequest()
                topic.name = name
                topic.partitionIndexes = partitions.map(\.partition)
                return topic
            }
            let response = try await cluster.connection(.node(leader)).send(request)
            for topic in response.topics {
                for entry in topic.partitions {
                    let partition = TopicPartition(topic.name, entry.partitionIndex)
                    if let error = ClientError.from(entry.errorCode, "\(partition)", message: entry.errorMessage) {
                        throw error
                    }
                    found += entry.activeProducers.map { producer in
                        PartitionProducer(
                            partition: partition, producerId: producer.producerId,
                            producerEpoch: producer.producerEpoch, lastSequence: producer.lastSequence,
                            lastTimestamp: producer.lastTimestamp, coordinatorEpoch: producer.coordinatorEpoch,
                            transactionStart: producer.currentTxnStartOffset < 0
                                ? nil : producer.currentTxnStartOffset)
                    }
                }
            }
        }
        return found.sorted { ($0.partition, $0.producerId) < ($1.partition, $1.producerId) }
    }

    /// Aborts what a producer has open in one partition, past its coordinator (KIP-664). For transactions that no
    /// coordinator will end any more: another one would find half of itself aborted.
    package func abortTransaction(_ producer: PartitionProducer) async throws(ClientError) {
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
        let leader = try await cluster.leader(of: producer.partition)
        _ = try await cluster.call(request, .node(leader)) { response in
            guard let result = response.markers.first?.topics.first?.partitions.first else {
                return ClientError(.malformedReply, "the broker's reply says nothing of \(producer.partition)")
            }
            return ClientError.from(result.errorCode, "\(producer.partition)")
        }
    }
}

extension ClientError {
    fileprivate static func missingTransaction(_ id: String) -> ClientError {
        ClientError(.malformedReply, "the broker's reply says nothing of transactional id '\(id)'")
    }
}
