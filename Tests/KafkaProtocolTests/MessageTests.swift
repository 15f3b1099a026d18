import Testing

@testable import KafkaProtocol

/// Every message in every version, against an independent reading of the specification.
@Suite struct MessageTests {
    private static let seed: UInt64 = 20_260_101

    private func decodeAndEncode<Message: ProtocolMessage>(
        _ type: Message.Type, _ bytes: [UInt8], _ version: Int16
    ) throws -> [UInt8] {
        let message = try type.decode(bytes, version: version)
        var writer = ByteWriter()
        message.encode(to: &writer, version: version)
        #expect(writer.unsupportedField == nil)
        return writer.bytes
    }

    @Test("random messages survive decoding and encoding byte for byte")
    func roundTrip() throws {
        let schema = try SchemaInterpreter()
        var generator = SeededGenerator(seed: MessageTests.seed)
        #expect(messageRegistry.count == schema.messages.count)
        var checked = 0
        for type in messageRegistry {
            for version in type.validVersions {
                for _ in 0..<20 {
                    let bytes = schema.randomBytes(of: "\(type)", version: Int(version), using: &generator)
                    let again = try decodeAndEncode(type, bytes, version)
                    #expect(again == bytes, "\(type) version \(version)")
                    checked += 1
                }
            }
        }
        #expect(checked > 7000)
    }

    @Test("a message cut anywhere is an error, and never a trap")
    func truncation() throws {
        let schema = try SchemaInterpreter()
        var generator = SeededGenerator(seed: MessageTests.seed + 1)
        for type in messageRegistry {
            for version in type.validVersions {
                let bytes = schema.randomBytes(of: "\(type)", version: Int(version), using: &generator)
                for length in 0..<bytes.count {
                    #expect(throws: ProtocolDecodingError.self) {
                        try type.decode(Array(bytes[..<length]), version: version)
                    }
                }
            }
        }
    }

    @Test("mutated bytes decode or are refused, and what decodes encodes")
    func mutation() throws {
        let schema = try SchemaInterpreter()
        var generator = SeededGenerator(seed: MessageTests.seed + 2)
        var refused = 0
        var decoded = 0
        for type in messageRegistry {
            for version in type.validVersions {
                for _ in 0..<30 {
                    var bytes = schema.randomBytes(of: "\(type)", version: Int(version), using: &generator)
                    mutate(&bytes, using: &generator)
                    do {
                        _ = try decodeAndEncode(type, bytes, version)
                        decoded += 1
                    } catch {
                        refused += 1
                    }
                }
            }
        }
        #expect(refused > 1000 && decoded > 1000, "\(refused) refused, \(decoded) decoded")
    }

    private func mutate(_ bytes: inout [UInt8], using generator: inout SeededGenerator) {
        guard !bytes.isEmpty else { return }
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            let place = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes[place] = [0, 0x7F, 0x80, 0xFF].randomElement(using: &generator)!
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: place)
            default:
                let end = min(bytes.count, place + 4)
                for index in place..<end { bytes[index] = 0xFF }
            }
        }
    }

    @Test("an array that claims more elements than there are bytes allocates nothing")
    func hugeArray() {
        var writer = ByteWriter()
        writer.write(Int32.max)
        #expect(throws: ProtocolDecodingError.truncated) {
            try DescribeGroupsRequest.decode(writer.bytes, version: 0)
        }
    }

    @Test("what a message may allocate is limited, however many small elements it has")
    func memoryLimit() {
        // Eight million empty strings of one byte each would take 128 MB as Swift strings.
        var writer = ByteWriter()
        writer.arrayCount(8_000_000, flexible: true)
        writer.bytes += [UInt8](repeating: 1, count: 8_000_000)
        writer.write(false)
        writer.noTaggedFields()
        #expect(throws: ProtocolDecodingError.tooLarge) {
            try DescribeGroupsRequest.decode(writer.bytes, version: 5)
        }
    }

    @Test("bytes after the last field are an error")
    func trailingBytes() {
        var request = FindCoordinatorRequest()
        request.key = "group"
        #expect(throws: ProtocolDecodingError.trailingBytes) {
            try FindCoordinatorRequest.decode(request.encoded(version: 1) + [0], version: 1)
        }
    }

    @Test("unknown tagged fields are stepped over")
    func unknownTaggedField() throws {
        var bytes = HeartbeatRequest().encoded(version: 4)
        bytes.removeLast()
        bytes += [1, 99, 3, 1, 2, 3]
        #expect(try HeartbeatRequest.decode(bytes, version: 4) == HeartbeatRequest())
    }

    @Test("a field that the version lacks is noted when it was set")
    func unsupportedField() {
        var request = ConsumerGroupHeartbeatRequest()
        request.subscribedTopicRegex = "a.*"
        var writer = ByteWriter()
        request.encode(to: &writer, version: 0)
        #expect(writer.unsupportedField == "ConsumerGroupHeartbeatRequest.SubscribedTopicRegex")
    }

    @Test("an unknown version is refused")
    func unknownVersion() {
        #expect(throws: ProtocolDecodingError.unsupportedVersion) {
            try HeartbeatRequest.decode([], version: 99)
        }
    }
}
