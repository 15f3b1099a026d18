import CoordinatorCore
import KafkaProtocol
import Testing

@testable import TransactionCoordinator

/// Byte for byte as Kafka writes them: the expected bytes are spelled out from the format's description.
@Suite struct TransactionRecordTests {
    private static func metadata(_ state: TransactionState) -> TransactionMetadata {
        var metadata = TransactionMetadata(newProducerId: 258, timeoutMs: 60_000, now: 7)
        metadata.producer.epoch = 3
        metadata.state = state
        return metadata
    }

    private static let head: [UInt8] = [0, 0, 0, 0, 0, 0, 1, 2] + [0, 3] + [0, 0, 0xEA, 0x60]

    @Test("an id without transaction has null partitions")
    func empty() {
        let record = TransactionRecord.encode("ab", Self.metadata(.empty))
        #expect(record.key == [0, 0] + [0, 2, 0x61, 0x62])
        #expect(
            record.value == [0, 1] + Self.head + [0] + [0] + [0, 0, 0, 0, 0, 0, 0, 7]
                + [UInt8](repeating: 0xFF, count: 8) + [0])
        #expect(TransactionRecord.encode("ab", nil) == CoordinatorRecord(key: record.key, value: nil))
    }

    @Test("partitions by topic, and the fields of version 2 as tags")
    func prepared() {
        var metadata = Self.metadata(.prepareCommit)
        metadata.partitions = [partition(1, "u"), partition(2, "t"), partition(0, "t")]
        metadata.startTimestamp = 5
        metadata.previousProducerId = 258
        metadata.nextProducerId = 259
        metadata.clientTransactionVersion = 2
        let record = TransactionRecord.encode("a", metadata)
        let topics: [UInt8] =
            [3] + [2, 0x74] + [3, 0, 0, 0, 0, 0, 0, 0, 2] + [0] + [2, 0x75] + [2, 0, 0, 0, 1] + [0]
        let tags: [UInt8] =
            [3] + [0, 8, 0, 0, 0, 0, 0, 0, 1, 2] + [1, 8, 0, 0, 0, 0, 0, 0, 1, 3] + [2, 2, 0, 2]
        #expect(
            record.value == [0, 1] + Self.head + [2] + topics + [0, 0, 0, 0, 0, 0, 0, 7]
                + [0, 0, 0, 0, 0, 0, 0, 5] + tags)
    }

    @Test("version 0, from before Kafka 4, is read")
    func versionZero() throws {
        let value: [UInt8] =
            [0, 0] + Self.head + [1] + [0, 0, 0, 1] + [0, 1, 0x74] + [0, 0, 0, 1] + [0, 0, 0, 9]
            + [0, 0, 0, 0, 0, 0, 0, 7] + [0, 0, 0, 0, 0, 0, 0, 5]
        var expected = Self.metadata(.ongoing)
        expected.partitions = [partition(9)]
        expected.startTimestamp = 5
        #expect(
            try TransactionRecord.decode(key: [0, 0, 0, 1, 0x61], value: value)
                == .metadata(transactionalId: "a", expected))
    }

    @Test("what is written is read, in each state", arguments: TransactionState.allCases)
    func roundTrip(_ state: TransactionState) throws {
        var metadata = Self.metadata(state)
        if state != .empty { metadata.partitions = [partition(1), partition(5, "u")] }
        metadata.startTimestamp = 11
        metadata.clientTransactionVersion = 2
        metadata.previousProducerId = 4
        let record = TransactionRecord.encode("a", metadata)
        let read = try TransactionRecord.decode(key: record.key, value: record.value)
        switch state {
        case .dead: #expect(read == .tombstone(transactionalId: "a"))
        case .prepareEpochFence:
            metadata.state = .ongoing
            #expect(read == .metadata(transactionalId: "a", metadata))
        default: #expect(read == .metadata(transactionalId: "a", metadata))
        }
    }

    @Test("tags of later versions are skipped")
    func unknownTags() throws {
        let record = TransactionRecord.encode("a", Self.metadata(.empty))
        let value: [UInt8] = Array(record.value!.dropLast()) + [2] + [3, 2, 0, 1] + [4, 2, 0, 1]
        #expect(
            try TransactionRecord.decode(key: record.key, value: value)
                == .metadata(transactionalId: "a", Self.metadata(.empty)))
    }

    @Test("unknown kinds are skipped, damaged records are not")
    func damage() throws {
        let record = TransactionRecord.encode("a", Self.metadata(.empty))
        var shard = TransactionCoordinatorShard(configuration: TransactionConfiguration(), coordinatorEpoch: 0)
        try shard.replay(key: [0, 1, 0, 1, 0x61], value: [0, 0], by: nil)
        try shard.replay(key: [0, 1, 0, 1, 0x62], value: nil, by: nil)
        #expect(shard.skippedKeyVersions == [1: 2])
        #expect(throws: ProtocolDecodingError.truncated) { try shard.replay(key: [0], value: nil, by: nil) }
        #expect(throws: ProtocolDecodingError.unsupportedVersion) {
            try shard.replay(key: record.key, value: [0, 2], by: nil)
        }
        var unknownState = record.value!
        unknownState[2 + 14] = 8
        #expect(throws: ProtocolDecodingError.unsupportedVersion) {
            try shard.replay(key: record.key, value: unknownState, by: nil)
        }
        for length in 0..<record.value!.count {
            #expect(throws: ProtocolDecodingError.self) {
                try shard.replay(key: record.key, value: Array(record.value!.prefix(length)), by: nil)
            }
        }
        #expect(shard.transactions.isEmpty)
    }
}
