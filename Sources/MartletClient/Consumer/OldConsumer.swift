import KafkaProtocol

/// Fetches records of partitions that were assigned by hand, one request at a time to each leader and the next one
/// under way while the caller works on the last.
package actor OldConsumer {
    private let cluster: Cluster
    private let options: ConsumerOptions
    private var positions: [TopicPartition: Int64] = [:]
    /// Grows with each `assign`, so that replies to what was asked before are recognized.
    private var generation = 0
    private var fetching: Set<Int32> = []
    private var arrived: [Result<[FetchedRecords], ClientError>] = []
    private var waiter: CheckedContinuation<Void, Never>?
    private var attempt = 0

    package init(cluster: Cluster, options: ConsumerOptions = ConsumerOptions()) {
        self.cluster = cluster
        self.options = options
    }

    /// Replaces what is fetched: partitions with the offset to begin at.
    package func assign(_ positions: [TopicPartition: Int64]) {
        generation += 1
        self.positions = positions
        arrived = []
    }

    /// What came next: an empty array when nothing came within `maximumWait`. Throws `cancelled`, or an error that
    /// does not pass by itself.
    package func poll() async throws(ClientError) -> [FetchedRecords] {
        try await startFetches()
        if arrived.isEmpty {
            if fetching.isEmpty {
                try await pause(options.maximumWait)
                return []
            }
            await nextArrival()
        }
        if Task.isCancelled { throw ClientError(.cancelled, "cancelled") }
        guard !arrived.isEmpty else { return [] }
        let records = try arrived.removeFirst().get()
        try await startFetches()
        return records
    }

    private func nextArrival() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { return continuation.resume() }
                waiter = continuation
            }
        } onCancel: {
            Task { await self.wake() }
        }
    }

    private func wake() {
        waiter?.resume()
        waiter = nil
    }

    private func pause(_ duration: Duration) async throws(ClientError) {
        do {
            try await Task.sleep(for: duration)
        } catch {
            throw ClientError(.cancelled, "cancelled")
        }
    }

    // MARK: Fetches

    private func startFetches() async throws(ClientError) {
        guard arrived.count < options.maximumWaitingReplies else { return }
        var view = await cluster.view
        for partition in positions.keys.sorted() where view.leader(of: partition) == nil {
            _ = try await cluster.leader(of: partition)
            view = await cluster.view
        }
        var byLeader: [Int32: [TopicPartition: Int64]] = [:]
        for (partition, offset) in positions {
            guard let leader = view.leader(of: partition), !fetching.contains(leader) else { continue }
            byLeader[leader, default: [:]][partition] = offset
        }
        for (leader, wanted) in byLeader {
            fetching.insert(leader)
            let generation = generation
            Task { await self.fetch(wanted, from: leader, generation) }
        }
    }

    private func fetch(_ wanted: [TopicPartition: Int64], from leader: Int32, _ generation: Int) async {
        let result: Result<[FetchedRecords], ClientError>
        do throws(ClientError) {
            let connection = try await cluster.connection(.node(leader), for: .fetch)
            // From version 13 on topics go by id.
            let response = try await connection.send(
                request(wanted), maximumVersion: 12, timeout: cluster.options.requestTimeout + options.maximumWait)
            result = .success(try await take(response, wanted, generation))
            attempt = 0
        } catch {
            result = await handle(error, of: wanted)
        }
        fetching.remove(leader)
        if generation == self.generation { arrived.append(result) }
        wake()
    }

    /// Errors that pass cost a pause and new metadata; the others go to the caller.
    private func handle(
        _ error: ClientError, of wanted: [TopicPartition: Int64]
    ) async -> Result<[FetchedRecords], ClientError> {
        guard error.isRetriable else { return .failure(error) }
        attempt += 1
        do throws(ClientError) {
            try await pause(cluster.options.backoff.delay(after: attempt))
            try await cluster.refreshLeaders(of: wanted.keys.map(\.topic))
        } catch {
            // A cluster that nobody can reach any more is the caller's to know after a while.
            if !error.isRetriable || attempt > 20 { return .failure(error) }
        }
        return .success([])
    }

    private func request(_ wanted: [TopicPartition: Int64]) -> FetchRequest {
        var request = FetchRequest()
        request.maxWaitMs = Int32(clamping: options.maximumWait.milliseconds)
        request.minBytes = 1
        request.maxBytes = options.maximumBytes
        request.isolationLevel = options.readsCommittedOnly ? 1 : 0
        for (topic, partitions) in Dictionary(grouping: wanted, by: \.key.topic).sorted(by: { $0.key < $1.key }) {
            var fetchTopic = FetchRequest.FetchTopic()
            fetchTopic.topic = topic
            // By chance, so that no partition is always last where the bytes do not suffice for all.
            fetchTopic.partitions = partitions.shuffled().map { partition, offset in
                var fetchPartition = FetchRequest.FetchPartition()
                fetchPartition.partition = partition.partition
                fetchPartition.fetchOffset = offset
                fetchPartition.partitionMaxBytes = options.maximumPartitionBytes
                return fetchPartition
            }
            request.topics.append(fetchTopic)
        }
        return request
    }

    private func take(
        _ response: FetchResponse, _ wanted: [TopicPartition: Int64], _ generation: Int
    ) async throws(ClientError) -> [FetchedRecords] {
        if let error = ClientError.from(response.errorCode, "fetch") { throw error }
        var fetched: [FetchedRecords] = []
        var passing: ClientError?
        for topic in response.responses {
            for data in topic.partitions {
                let partition = TopicPartition(topic.topic, data.partitionIndex)
                guard let offset = wanted[partition], generation == self.generation else { continue }
                let code = ErrorCode(rawValue: data.errorCode)
                if code == .offsetOutOfRange {
                    try await reset(partition, from: offset, generation)
                } else if code != .none {
                    let error = ClientError.refused(code, "\(partition)")
                    guard error.isRetriable else { throw error }
                    passing = error
                } else if let bytes = data.records, !bytes.isEmpty {
                    var records = try FetchedRecords(
                        partition: partition, bytes: bytes, startOffset: offset, highWatermark: data.highWatermark)
                    if options.readsCommittedOnly {
                        records.abortedTransactions = AbortedTransactions(data.abortedTransactions ?? [])
                    }
                    positions[partition] = records.nextOffset
                    fetched.append(records)
                }
            }
        }
        // What came with it must not be fetched twice, so the error waits for the next round if there was something.
        if let passing, fetched.isEmpty { throw passing }
        return fetched
    }

    private func reset(
        _ partition: TopicPartition, from offset: Int64, _ generation: Int
    ) async throws(ClientError) {
        let position: OffsetPosition
        switch options.resetPolicy {
        case .earliest: position = .earliest
        case .latest: position = .latest
        case .none: throw .refused(.offsetOutOfRange, "\(partition) at offset \(offset)")
        }
        let found = try await Admin(cluster: cluster).offsets(of: [partition], at: position)
        if let listed = found[partition], generation == self.generation { positions[partition] = listed.offset }
    }
}
