import Foundation
import Testing

@testable import KafkaProtocol

/// Requests that real clients sent: each decodes, header and body, and encodes to the same bytes.
@Suite struct GoldenTests {
    private struct Frame: Sendable, CustomTestStringConvertible {
        var apiKey: ApiKey
        var version: Int16
        var bytes: [UInt8]
        var testDescription: String { "\(apiKey) v\(version)" }
    }

    private static let frames: [Frame] = readFrames()

    private static func readFrames() -> [Frame] {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Golden/requests.txt")
        guard let text = try? String(contentsOf: path, encoding: .utf8) else {
            Issue.record("\(path.path) cannot be read")
            return []
        }
        return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let words = line.split(separator: " ")
            let hex = Array(words[2].utf8)
            let bytes = stride(from: 0, to: hex.count, by: 2).map { index in
                UInt8(String(decoding: hex[index..<index + 2], as: UTF8.self), radix: 16)!
            }
            return Frame(apiKey: ApiKey(rawValue: Int16(words[0])!)!, version: Int16(words[1])!, bytes: bytes)
        }
    }

    @Test("there are enough of them to mean something")
    func coverage() {
        #expect(GoldenTests.frames.count > 60)
        #expect(Set(GoldenTests.frames.map(\.apiKey)).count > 20)
    }

    @Test("real requests decode and encode to the same bytes", arguments: frames)
    private func roundTrip(_ frame: Frame) throws {
        let headerVersion: Int16 = frame.version >= frame.apiKey.firstFlexibleVersion ? 2 : 1
        let span = frame.bytes.span.bytes
        var cursor = KafkaProtocol.ByteCursor()
        let header = try RequestHeader(from: span, at: &cursor, version: headerVersion)
        #expect(header.requestApiKey == frame.apiKey.rawValue && header.requestApiVersion == frame.version)
        #expect(header.clientId?.isEmpty == false)
        let type = messageRegistry.first {
            ($0 as? any ProtocolRequest.Type)?.apiKey == frame.apiKey
        }
        let body = Array(frame.bytes[cursor.position...])
        let known = try #require(type)
        let again = header.encoded(version: headerVersion) + (try encodeAgain(known, body, frame.version))
        #expect(again == frame.bytes)
    }

    private func encodeAgain<Message: ProtocolMessage>(
        _ type: Message.Type, _ body: [UInt8], _ version: Int16
    ) throws -> [UInt8] {
        try type.decode(body, version: version).encoded(version: version)
    }
}
