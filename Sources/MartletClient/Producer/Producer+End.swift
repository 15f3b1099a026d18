extension Producer {
    /// Sends what lingers and waits until each record enqueued before is acknowledged or has failed.
    nonisolated(nonsending) public func flush() async throws(ClientError) {
        let completions = sender.shared.withLock { shared in
            shared.core.closeOpenBatches()
            return shared.core.unfinished
        }
        sender.wake()
        try await wait(for: completions)
    }

    /// Follows records that go on into other batches: those that waited for their topic, and those of divided batches.
    nonisolated(nonsending) private func wait(for completions: [BatchCompletion]) async throws(ClientError) {
        // All are kept until the end, so that no identifier comes twice.
        var all = completions
        var known = Set(completions.map(ObjectIdentifier.init))
        var position = 0
        while position < all.count {
            guard let outcome = await all[position].wait() else { throw ClientError(.cancelled, "cancelled") }
            position += 1
            guard case .forwarded(let deliveries) = outcome else { continue }
            for delivery in deliveries where known.insert(ObjectIdentifier(delivery.completion)).inserted {
                all.append(delivery.completion)
            }
            sender.shared.withLock { $0.core.closeOpenBatches() }
            sender.wake()
        }
    }

    /// Takes no more records, waits for those that were taken, and ends the connections. After that every call throws
    /// `closed`. When the task is cancelled, what is not acknowledged yet fails.
    public func close() async {
        let isFirst = sender.shared.withLock { shared -> Bool in
            guard shared.core.refusal?.code != .closed else { return false }
            if shared.core.refusal == nil { shared.core.refusal = ClientError(.closed, "the producer is closed") }
            return true
        }
        guard isFirst else { return }
        await endOpenTransaction()
        do throws(ClientError) {
            try await flush()
        } catch {
            sender.logger.debug("producer.close.cancelled")
        }
        sender.shared.withLock { $0.core.end(ClientError(.closed, "the producer was closed before it was written")) }
        await withCheckedContinuation { continuation in
            sender.loop.execute { [sender] in
                sender.close()
                continuation.resume()
            }
        }
        if ownsCluster { await sender.cluster.close() }
    }

    /// What became of the records so far.
    package struct Report: Sendable {
        package var acknowledged = 0
        package var failed = 0
        /// The first failure.
        package var failure: ClientError?
    }

    package var report: Report {
        sender.shared.withLock { shared in
            let counts = shared.core.counts
            return Report(acknowledged: counts.acknowledged, failed: counts.failed, failure: counts.firstFailure)
        }
    }
}
