import CoordinatorCore
import KafkaProtocol

/// State from records: those of the log when it is loaded, and those that a handler has just made.
extension GroupCoordinatorShard {
    /// Takes the next record of the log. Kinds of records that this build does not know are counted and skipped; a known
    /// kind that cannot be read is an error, since it would be forgotten for good.
    package mutating func replay(
        key: [UInt8], value: [UInt8]?, by producer: TransactionalProducer?
    ) throws(ProtocolDecodingError) {
        precondition(phase == .loading, "replay after finishLoading")
        if let producer { producers.began(producer, now: nil) }
        switch try GroupRecord.decode(key: key, value: value) {
        case .record(let record): apply(record, by: producer)
        case .unknown(let keyVersion): skippedKeyVersions[keyVersion, default: 0] += 1
        }
    }

    /// Takes note of a producer that the log knows, and of its last coordinator's epoch, before the log is replayed. What
    /// the log would refuse is then refused here.
    package mutating func remember(
        _ producer: TransactionalProducer, coordinatorEpoch: Int32, hasOpenTransaction: Bool
    ) {
        precondition(phase == .loading, "remember after finishLoading")
        producers.remember(producer, coordinatorEpoch: coordinatorEpoch, hasOpenTransaction: hasOpenTransaction)
    }

    package mutating func replay(_ end: TransactionEnd) {
        precondition(phase == .loading, "replay after finishLoading")
        apply(end, now: nil)
    }

    /// Decides over what a producer's transaction would commit. What was committed later than that stays.
    mutating func apply(_ end: TransactionEnd, now: Int64?) {
        let pending = producers.ended(end, now: now)
        guard end.isCommit else { return }
        for (groupId, topics) in pending.offsets {
            createSimpleGroupIfAbsent(groupId)
            for (topic, partitions) in topics {
                for (partition, offset) in partitions {
                    let present = offsets.offset(group: groupId, topic: topic, partition: partition)
                    if let present, present.order > offset.order { continue }
                    offsets.set(offset, group: groupId, topic: topic, partition: partition)
                }
            }
        }
    }

    /// Ends loading: members get a full session to show up in, as their coordinator may just have moved.
    package mutating func finishLoading(now: Int64, into actions: inout [GroupAction]) {
        precondition(phase == .loading, "finishLoading twice")
        phase = .active
        loadedAt = now
        effects.now = now
        // Offsets outlive a group that was changing its protocol when the log ended.
        for groupId in offsets.offsets.keys { createSimpleGroupIfAbsent(groupId) }
        for groupId in producers.producersByGroup.keys { createSimpleGroupIfAbsent(groupId) }
        for groupId in classicGroups.keys.sorted() { classicGroups[groupId]!.startSessions(&effects) }
        for groupId in consumerGroups.keys.sorted() { consumerGroups[groupId]!.startTimers(configuration, &effects) }
        effects.schedule(.offsetExpiration, after: configuration.offsetsRetentionCheckIntervalMs)
        effects.flush(through: &replies, into: &actions)
    }

    /// Writes a record, in the transaction of `effects.producer` if there is one.
    mutating func write(_ record: GroupRecord) {
        if let producer = effects.producer { producers.began(producer, now: effects.now) }
        apply(record, by: effects.producer)
        effects.records.append(record)
    }

    private mutating func apply(_ record: GroupRecord, by producer: TransactionalProducer?) {
        switch record {
        case .offsetCommit(let key, let value):
            apply(key, value, by: producer)
        case .groupMetadata(let key, let value):
            classicGroups[key.group] = value.map { ClassicGroup(groupId: key.group, loading: $0) }
            if value != nil { consumerGroups[key.group] = nil }
        case .consumerGroupMetadata(let key, let value):
            apply(record, toConsumerGroup: key.groupId, isTombstone: value == nil)
            if value == nil { consumerGroups[key.groupId] = nil }
        case .consumerGroupPartitionMetadata(let key, let value):
            apply(record, toConsumerGroup: key.groupId, isTombstone: value == nil)
        case .consumerGroupMemberMetadata(let key, let value):
            apply(record, toConsumerGroup: key.groupId, isTombstone: value == nil)
        case .consumerGroupTargetAssignmentMetadata(let key, let value):
            apply(record, toConsumerGroup: key.groupId, isTombstone: value == nil)
        case .consumerGroupTargetAssignmentMember(let key, let value):
            apply(record, toConsumerGroup: key.groupId, isTombstone: value == nil)
        case .consumerGroupCurrentMemberAssignment(let key, let value):
            apply(record, toConsumerGroup: key.groupId, isTombstone: value == nil)
        }
    }

    /// Only offsets wait for the end of a transaction. A deletion is for good and takes along what open transactions
    /// would commit.
    private mutating func apply(
        _ key: OffsetCommitKey, _ value: OffsetCommitValue?, by producer: TransactionalProducer?
    ) {
        offsetRecordCount += 1
        guard let value else {
            offsets.remove(group: key.group, topic: key.topic, partition: key.partition)
            producers.removePending(group: key.group, topic: key.topic, partition: key.partition)
            return
        }
        createSimpleGroupIfAbsent(key.group)
        let offset = CommittedOffset(value, order: offsetRecordCount)
        if let producer {
            producers.setPending(offset, by: producer, group: key.group, topic: key.topic, partition: key.partition)
        } else {
            offsets.set(offset, group: key.group, topic: key.topic, partition: key.partition)
        }
    }

    private mutating func apply(_ record: GroupRecord, toConsumerGroup groupId: String, isTombstone: Bool) {
        if consumerGroups[groupId] == nil {
            if isTombstone { return }
            classicGroups[groupId] = nil
            consumerGroups[groupId] = ConsumerGroup(groupId: groupId)
        }
        consumerGroups[groupId]!.apply(record)
    }

    private mutating func createSimpleGroupIfAbsent(_ groupId: String) {
        if classicGroups[groupId] == nil && consumerGroups[groupId] == nil {
            classicGroups[groupId] = ClassicGroup(groupId: groupId)
        }
    }
}
