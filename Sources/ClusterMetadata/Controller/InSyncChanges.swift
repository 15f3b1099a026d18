import KafkaProtocol

/// A leader's wish for another in-sync set (AlterPartition; KIP-497, KIP-841, KIP-903).
package struct InSyncChange: Sendable {
    package struct Replica: Sendable {
        package var brokerId: Int32
        /// The life of the broker that the leader speaks of; -1 for any.
        package var brokerEpoch: Int64

        package init(brokerId: Int32, brokerEpoch: Int64) {
            self.brokerId = brokerId
            self.brokerEpoch = brokerEpoch
        }
    }

    package var topicId: Uuid
    package var partition: Int32
    package var leaderEpoch: Int32
    /// Of the state that the leader knows.
    package var partitionEpoch: Int32
    package var inSyncReplicas: [Replica]
    /// As in the protocol: 0 recovered, 1 recovering from an unclean election.
    package var leaderRecoveryState: Int8

    package init(
        topicId: Uuid, partition: Int32, leaderEpoch: Int32, partitionEpoch: Int32, inSyncReplicas: [Replica],
        leaderRecoveryState: Int8 = 0
    ) {
        self.topicId = topicId
        self.partition = partition
        self.leaderEpoch = leaderEpoch
        self.partitionEpoch = partitionEpoch
        self.inSyncReplicas = inSyncReplicas
        self.leaderRecoveryState = leaderRecoveryState
    }
}

/// What came of an `InSyncChange`.
package struct InSyncOutcome: Sendable, Equatable {
    package var reference: PartitionReference
    /// The partition as it is now.
    package var partition: PartitionMetadata
    /// False when the in-sync set was so already; then there is nothing to store.
    package var isChanged: Bool
    /// The change ended the asking broker's leadership (it completed a reassignment, or let a leader that is about to
    /// stop go). It is stored and answered NEW_LEADER_ELECTED, so that the broker waits for the news.
    package var hasNewLeader: Bool
}

extension MetadataImage {
    /// Refuses a broker that is not there or speaks for a former life: STALE_BROKER_EPOCH.
    package func checkBroker(_ brokerId: Int32, epoch: Int64) throws(MetadataRefusal) {
        guard let registration = brokers[brokerId] else {
            throw MetadataRefusal(.staleBrokerEpoch, "Broker \(brokerId) is not registered.")
        }
        guard registration.epoch == epoch else {
            throw MetadataRefusal(
                .staleBrokerEpoch, "Broker \(brokerId) has epoch \(registration.epoch), not \(epoch).")
        }
    }

    /// Checks a leader's change of the in-sync set and gives the partition that it makes. For many in one request put
    /// each result into a `MetadataDraft` and ask its image for the next.
    package func alterPartition(
        _ change: InSyncChange, from brokerId: Int32, brokerEpoch: Int64
    ) throws(MetadataRefusal) -> InSyncOutcome {
        try checkBroker(brokerId, epoch: brokerEpoch)
        guard let name = topicNames[change.topicId] else {
            throw MetadataRefusal(.unknownTopicId, "There is no topic with id \(change.topicId).")
        }
        let reference = PartitionReference(topic: name, partition: change.partition)
        guard let partition = partition(reference) else {
            throw MetadataRefusal(.unknownTopicOrPartition, "There is no partition \(reference).")
        }
        try check(change, of: partition, from: brokerId)

        var next = PartitionChange(partition, BrokerEligibility(brokers))
        let members = change.inSyncReplicas.map(\.brokerId)
        // The order has no meaning, so another order is no change.
        if Set(members) != Set(partition.inSyncReplicas) { next.partition.inSyncReplicas = members }
        next.settle()
        guard let result = next.result else {
            return InSyncOutcome(reference: reference, partition: partition, isChanged: false, hasNewLeader: false)
        }
        return InSyncOutcome(
            reference: reference, partition: result, isChanged: true, hasNewLeader: result.leader != brokerId)
    }

    private func check(
        _ change: InSyncChange, of partition: PartitionMetadata, from brokerId: Int32
    ) throws(MetadataRefusal) {
        // The leader knows more than this node: another one is the controller now.
        guard change.leaderEpoch <= partition.leaderEpoch, change.partitionEpoch <= partition.partitionEpoch else {
            throw MetadataRefusal(.notController, "The partition's epochs are older here than at its leader.")
        }
        guard change.leaderEpoch == partition.leaderEpoch else {
            throw MetadataRefusal(
                .fencedLeaderEpoch, "The leader epoch is \(partition.leaderEpoch), not \(change.leaderEpoch).")
        }
        guard brokerId == partition.leader else {
            throw MetadataRefusal(.invalidRequest, "The leader is \(partition.leader), not \(brokerId).")
        }
        guard change.partitionEpoch == partition.partitionEpoch else {
            throw MetadataRefusal(
                .invalidUpdateVersion,
                "The partition epoch is \(partition.partitionEpoch), not \(change.partitionEpoch).")
        }
        let members = change.inSyncReplicas.map(\.brokerId)
        guard !members.isEmpty, Set(members).count == members.count, members.allSatisfy(partition.replicas.contains)
        else {
            throw MetadataRefusal(.invalidRequest, "The in-sync set \(members) is none of \(partition.replicas).")
        }
        guard members.contains(brokerId) else {
            throw MetadataRefusal(.invalidRequest, "The in-sync set \(members) lacks the leader \(brokerId).")
        }
        // No partition is remembered as recovering here, and Kafka lets none become it at its leader's wish.
        guard change.leaderRecoveryState == 0 else {
            throw MetadataRefusal(.invalidRequest, "The leader recovery state cannot become recovering.")
        }
        for replica in change.inSyncReplicas {
            if let objection = objection(to: replica, leader: brokerId) {
                throw MetadataRefusal(.ineligibleReplica, "Broker \(replica.brokerId) is \(objection).")
            }
        }
    }

    private func objection(to replica: InSyncChange.Replica, leader: Int32) -> String? {
        guard let registration = brokers[replica.brokerId] else { return "not registered" }
        // A leader that is about to stop must be able to take in those that can follow it.
        if registration.isShuttingDown, replica.brokerId != leader { return "shutting down" }
        if !registration.isAdmitted { return "fenced" }
        if replica.brokerEpoch != -1, replica.brokerEpoch != registration.epoch {
            return "registered with epoch \(registration.epoch), not \(replica.brokerEpoch)"
        }
        return nil
    }
}
