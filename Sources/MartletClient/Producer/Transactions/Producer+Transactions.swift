import KafkaProtocol

extension Producer {
    /// Runs `body` in a transaction: what it sends becomes visible to readers of committed records all together when
    /// it returns, or never, when it throws; its error is thrown on. Transactions of a producer come one after the
    /// other.
    ///
    /// An error with the code `transactionAborted` says that it was aborted although the closure has returned; running it
    /// again may succeed. One that is fatal, such as `fenced`, ends the producer. A cancelled task's
    /// transaction is aborted unless its commit has begun.
    @discardableResult
    nonisolated(nonsending) public func withTransaction<Result>(
        _ body: (Transaction) async throws -> Result
    ) async throws -> Result {
        let number = try await beginTransaction()
        let result: Result
        do {
            result = try await body(Transaction(producer: self, number: number))
        } catch {
            let reason = error
            do throws(ClientError) {
                try await endTransaction(commit: false)
            } catch  where error.isFatal && reason is ClientError {
                // A broker that refuses a fenced producer's records may not know that it is fenced; the coordinator does.
                throw error
            } catch {
                // The reason that the caller has matters more; what is fatal the next call says again.
            }
            throw reason
        }
        try await endTransaction(commit: true)
        return result
    }

    /// Takes over the transactional id before the first transaction: fences an earlier producer of the same id and ends
    /// what it left open. `withTransaction` does it too; this is for a program that wants to know at its start.
    public func initializeTransactions() async throws(ClientError) {
        let coordinator = try requireCoordinator()
        try claim()
        defer { release() }
        _ = try await prepare(coordinator)
    }

    // MARK: Begin

    private func beginTransaction() async throws(ClientError) -> Int {
        let coordinator = try requireCoordinator()
        try claim()
        do throws(ClientError) {
            let version = try await prepare(coordinator)
            return try withCore { (core) throws(ClientError) in
                if let refusal = core.refusal { throw refusal }
                core.transaction!.begin(version)
                return core.transaction!.number
            }
        } catch {
            release()
            throw error
        }
    }

    private func requireCoordinator() throws(ClientError) -> TransactionCoordinatorClient {
        guard let coordinator = coordinator else {
            throw ClientError(
                .invalidState, "the producer has no transactional id", nextStep: "set transactionalId")
        }
        return coordinator
    }

    /// One transaction at a time.
    private func claim() throws(ClientError) {
        let isFree = isInTransaction.withLock { isTaken in
            defer { isTaken = true }
            return !isTaken
        }
        guard isFree else {
            throw ClientError(.invalidState, "the producer is in a transaction; they come one after the other")
        }
    }

    private func release() {
        isInTransaction.withLock { $0 = false }
    }

    /// Sees to it that the producer has an identity for the next transaction.
    private func prepare(
        _ coordinator: TransactionCoordinatorClient
    ) async throws(ClientError) -> TransactionState.Version {
        let (identity, needsNewEpoch) = try withCore { (core) throws(ClientError) in
            if let refusal = core.refusal { throw refusal }
            return (core.currentIdentity, core.transaction!.needsNewEpoch)
        }
        let version = try await endingIfFatal { () async throws(ClientError) in try await coordinator.version() }
        if identity == nil || needsNewEpoch {
            let received = try await endingIfFatal { () async throws(ClientError) in
                try await coordinator.initialize(from: identity)
            }
            withCore { core in
                core.identity = .known(received)
                core.transaction!.didGetNewEpoch()
            }
        }
        return version
    }

    // MARK: End

    /// Not cancelled with the task: half an end helps nobody.
    nonisolated(nonsending) private func endTransaction(commit: Bool) async throws(ClientError) {
        let isCancelled = Task.isCancelled
        let task = Task { () async -> Result<Void, ClientError> in
            do throws(ClientError) {
                try await self.finishTransaction(commit: commit && !isCancelled)
                if commit && isCancelled { throw ClientError(.cancelled, "cancelled; the transaction was aborted") }
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try await task.value.get()
    }

    private func finishTransaction(commit: Bool) async throws(ClientError) {
        defer { release() }
        let coordinator = try requireCoordinator()
        guard beginEnd(commit: commit) else {
            await endsInProgress.wait()
            throw ClientError(.closed, "the producer was closed, which has aborted the transaction")
        }
        defer { endsInProgress.end() }
        if commit {
            await offsetsInProgress.wait()
            try await flush()
            await waitForControlRequests()
            let failure = withCore { core -> ClientError? in
                if !core.isIdle {
                    core.failTransaction(
                        ClientError(.transactionAborted, "records were on their way when it was to be committed"))
                }
                // A producer that is being closed waits for the commit.
                if let refusal = core.refusal, refusal.isFatal { return refusal }
                return core.transaction!.failure
            }
            if let failure {
                guard !failure.isFatal else { throw failure }
                try await abort(coordinator)
                throw failure
            }
            do throws(ClientError) {
                try await end(coordinator, commit: true)
            } catch {
                if error.code == .transactionAborted { try await abort(coordinator) }
                throw error
            }
        } else {
            try await abort(coordinator)
        }
    }

    /// Whether the end of the open transaction is the caller's, or somebody else has begun it.
    private func beginEnd(commit: Bool) -> Bool {
        withCore { core in
            guard core.transaction!.phase == .open else { return false }
            if commit { core.transaction!.commit() } else { core.abortTransaction() }
            endsInProgress.begin()
            return true
        }
    }

    /// Aborts the transaction of a producer that is being closed, unless its end has begun: then waits for that. The
    /// brokers would keep it, and its readers waiting, until its timeout.
    func endOpenTransaction() async {
        guard let coordinator else { return }
        guard beginEnd(commit: false) else { return await endsInProgress.wait() }
        // Not cancelled with the task that closes.
        let task = Task { () async -> ClientError? in
            defer { self.endsInProgress.end() }
            do throws(ClientError) {
                try await self.abort(coordinator)
                return nil
            } catch {
                return error
            }
        }
        if let error = await task.value {
            sender.logger.warning("producer.close.abort.failed", metadata: ["error": "\(error)"])
        }
    }

    private func abort(_ coordinator: TransactionCoordinatorClient) async throws(ClientError) {
        withCore { $0.abortTransaction() }
        wake()
        await offsetsInProgress.wait()
        try await flush()
        await waitForControlRequests()
        try await end(coordinator, commit: false)
    }

    /// Tells the coordinator, when it knows of anything.
    private func end(_ coordinator: TransactionCoordinatorClient, commit: Bool) async throws(ClientError) {
        let (identity, version, hasWork) = try withCore { (core) throws(ClientError) in
            if let refusal = core.refusal, refusal.isFatal { throw refusal }
            return (core.currentIdentity!, core.transaction!.version, core.transaction!.hasWork)
        }
        var next = identity
        if hasWork {
            do throws(ClientError) {
                next = try await coordinator.end(identity, commit: commit, version: version)
            } catch  where withCore({ $0.transaction!.meansNothingToEnd(error, commit: commit) }) {
                // The next transaction gets another epoch, because this one has failed.
            } catch {
                if error.code == .transactionAborted {
                    withCore { core in
                        core.transaction!.requireNewEpoch()
                        if !commit { core.transaction!.finish() }
                    }
                    throw error
                }
                // Nobody knows whether it took place, and going on could end up in another transaction.
                let fatal = error.fatal()
                withCore { $0.end(fatal) }
                wake()
                throw fatal
            }
        }
        withCore { core in
            core.identity = .known(next)
            core.transaction!.finish()
        }
    }

    // MARK: Offsets

    func sendOffsets(
        _ offsets: [TopicPartition: ConsumedOffset], for group: ConsumerGroupMetadata, transaction number: Int
    ) async throws(ClientError) {
        let coordinator = try requireCoordinator()
        let (identity, version) = try withCore { (core) throws(ClientError) in
            if let refusal = core.refusal { throw refusal }
            try core.transaction!.checkOpen(number)
            // Under the lock, so that an end that begins now waits for it.
            if !offsets.isEmpty { offsetsInProgress.begin() }
            return (core.currentIdentity!, core.transaction!.version)
        }
        guard !offsets.isEmpty else { return }
        defer { offsetsInProgress.end() }
        do throws(ClientError) {
            try await endingIfFatal { () async throws(ClientError) in
                withCore { $0.transaction!.willSend() }
                if version == .clientAdds { try await addOffsets(of: group, identity, coordinator) }
                try await coordinator.sendOffsets(offsets, of: group, identity, version: version)
            }
        } catch {
            // Whatever it was: without its offsets the transaction must not be committed.
            withCore { core in
                core.failTransaction(error)
                core.transaction!.didLeaveDoubt()
            }
            wake()
            throw error
        }
    }

    private func addOffsets(
        of group: ConsumerGroupMetadata, _ identity: ProducerIdentity, _ coordinator: TransactionCoordinatorClient
    ) async throws(ClientError) {
        do throws(ClientError) {
            try await coordinator.addOffsets(of: group, identity)
        } catch {
            withCore { $0.transaction!.didFailToAddOffsets() }
            throw error
        }
    }

    private func endingIfFatal<Value: Sendable>(
        _ operation: () async throws(ClientError) -> Value
    ) async throws(ClientError) -> Value {
        do throws(ClientError) {
            return try await operation()
        } catch {
            if error.isFatal {
                withCore { $0.end(error) }
                wake()
            }
            throw error
        }
    }
}
