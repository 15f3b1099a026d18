import KafkaProtocol

/// DescribeTransactions and ListTransactions (KIP-664, 994).
extension TransactionCoordinatorShard {
    func describe(_ id: String) -> DescribeTransactionsResponse.TransactionState {
        if id.isEmpty { return .failure(.invalidRequest, transactionalId: id) }
        guard let metadata = transactions[id] else { return .failure(.transactionalIdNotFound, transactionalId: id) }
        var description = DescribeTransactionsResponse.TransactionState()
        description.transactionalId = id
        description.transactionState = metadata.state.name
        description.transactionTimeoutMs = metadata.timeoutMs
        description.transactionStartTimeMs = metadata.startTimestamp
        description.producerId = metadata.producer.id
        description.producerEpoch = metadata.producer.epoch
        for partition in metadata.partitions.sorted() {
            if description.topics.last?.topic != partition.topic {
                description.topics.append(DescribeTransactionsResponse.TopicData())
                description.topics[description.topics.count - 1].topic = partition.topic
            }
            description.topics[description.topics.count - 1].partitions.append(partition.partition)
        }
        return description
    }

    func list(_ request: ListTransactionsRequest) -> ListTransactionsResponse {
        var response = ListTransactionsResponse()
        response.unknownStateFilters = request.stateFilters.filter { TransactionState(name: $0) == nil }
        let states = Set(request.stateFilters.compactMap(TransactionState.init(name:)))
        let producerIds = Set(request.producerIdFilters)
        for (id, metadata) in transactions.sorted(by: { $0.key < $1.key }) {
            // A filter that names only unknown states matches nothing.
            if !request.stateFilters.isEmpty && !states.contains(metadata.state) { continue }
            if !producerIds.isEmpty && !producerIds.contains(metadata.producer.id) { continue }
            if request.durationFilter >= 0 && metadata.startTimestamp >= effects.now - request.durationFilter {
                continue
            }
            var entry = ListTransactionsResponse.TransactionState()
            entry.transactionalId = id
            entry.producerId = metadata.producer.id
            entry.transactionState = metadata.state.name
            response.transactionStates.append(entry)
        }
        return response
    }
}
