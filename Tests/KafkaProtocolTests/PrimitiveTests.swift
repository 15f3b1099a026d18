import Testing

@testable import KafkaProtocol

@Suite struct PrimitiveTests {
    @Test("ids print as Kafka prints them, and read back")
    func uuid() throws {
        let id = Uuid(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)
        #expect(id.description == "ASNFZ4mrze_-3LqYdlQyEA")
        #expect(Uuid(id.description) == id)
        #expect(Uuid.zero.description == "AAAAAAAAAAAAAAAAAAAAAA")
        #expect(Uuid("too short") == nil)
        #expect(Uuid("ASNFZ4mrze_-3LqYdlQyEB") == nil, "four bits beyond the end must be zero")
        #expect(Uuid(high: 1, low: 2).hyphenated == "00000000-0000-0001-0000-000000000002")
        for seed in 0..<1000 {
            var generator = SeededGenerator(seed: UInt64(seed))
            let random = Uuid.random(using: &generator)
            #expect(Uuid(random.description) == random)
            #expect(!random.description.hasPrefix("-"))
        }
    }

    @Test("variable-length integers", arguments: [0, 1, 127, 128, 300, 16_383, 16_384, UInt32.max - 1, UInt32.max])
    func varint(_ value: UInt32) throws {
        var writer = ByteWriter()
        writer.unsignedVarint(value)
        var cursor = KafkaProtocol.ByteCursor()
        #expect(try cursor.unsignedVarint(writer.bytes.span.bytes) == value)
        #expect(cursor.position == writer.bytes.count)
    }

    @Test("a variable-length integer beyond 32 bits is refused")
    func longVarint() {
        for bytes: [UInt8] in [[0xFF, 0xFF, 0xFF, 0xFF, 0x10], [0x80, 0x80, 0x80, 0x80, 0x80, 0x01]] {
            var cursor = KafkaProtocol.ByteCursor()
            #expect(throws: ProtocolDecodingError.invalidVariableLengthInteger) {
                try cursor.unsignedVarint(bytes.span.bytes)
            }
        }
    }

    @Test("error codes carry the protocol's names and reactions")
    func errorCodes() {
        #expect(ErrorCode.notLeaderOrFollower.rawValue == 6)
        #expect(ErrorCode.notLeaderOrFollower.name == "NOT_LEADER_OR_FOLLOWER")
        #expect(ErrorCode.notLeaderOrFollower.isRetriable && ErrorCode.notLeaderOrFollower.asksForMetadata)
        #expect(!ErrorCode.messageTooLarge.isRetriable)
        #expect(ErrorCode(rawValue: 9999).description == "error code 9999")
    }

    @Test("API keys know their versions")
    func apiKeys() {
        #expect(ApiKey.produce.rawValue == 0 && ApiKey.produce.validVersions == 3...13)
        #expect(ApiKey.saslHandshake.firstFlexibleVersion == Int16.max)
        #expect(Set(ApiKey.allCases.map(\.rawValue)).count == ApiKey.allCases.count)
    }
}
