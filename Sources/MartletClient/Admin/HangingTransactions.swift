import KafkaProtocol

/// A transaction that is open in a partition and that no coordinator will end: consumers at read_committed wait at it
/// for ever.
public struct HangingTransaction: Sendable, Equatable {
    /// Who has it open, and where.
    public let producer: PartitionProducer
    /// nil when no transactional id has this producer any more.
    public let transactionalId: String?
}

extension Admin {
    /// Looks for hanging transactions in these partitions (KIP-664): open for longer than `age` milliseconds as of
    /// `now`, and unknown to the coordinator of the producer's transactional id.
    public func hangingTransactions(
        in partitions: some Collection<TopicPartition> & Sendable, olderThan age: Int64, now: Int64
    ) async throws(ClientError) -> [HangingTransaction] {
        let candidates = try await producers(of: partitions).filter {
            $0.transactionStart != nil && now - $0.lastTimestamp > age
        }
        guard !candidates.isEmpty else { return [] }
        let listed = try await transactions(producerIds: Array(Set(candidates.map(\.producerId))))
        var hanging: [HangingTransaction] = []
        for candidate in candidates {
            let id = listed.first { $0.producerId == candidate.producerId }?.transactionalId
            if let id, try await isOpen(candidate, in: id) { continue }
            hanging.append(HangingTransaction(producer: candidate, transactionalId: id))
        }
        guard !hanging.isEmpty else { return [] }
        // What has ended since the first look does not hang.
        let still = try await producers(of: Set(hanging.map(\.producer.partition)))
        return hanging.filter { found in
            still.contains {
                ($0.partition, $0.producerId, $0.transactionStart)
                    == (found.producer.partition, found.producer.producerId, found.producer.transactionStart)
            }
        }
    }

    /// Whether the coordinator knows of what a producer has open in a partition, and so will end it.
    private func isOpen(_ producer: PartitionProducer, in transactionalId: String) async throws(ClientError) -> Bool {
        do throws(ClientError) {
            let described = try await describeTransaction(transactionalId)
            return described.producerId == producer.producerId && described.partitions.contains(producer.partition)
        } catch  where error.protocolCode == .transactionalIdNotFound {
            return false
        }
    }
}
