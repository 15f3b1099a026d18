import Foundation
import MartletClient
import Testing

@Suite struct SerializerTests {
    private struct Order: Codable, Equatable {
        var id: Int
        var at: Date
        var note: String?
    }

    @Test func valuesComeBack() throws {
        let order = Order(id: 7, at: Date(timeIntervalSince1970: 1_700_000_000.25), note: "a/b")
        let json = JSONSerializer(Order.self)
        let bytes = try json.serialize(order)
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"at":"2023-11-14T22:13:20.250Z","id":7,"note":"a/b"}"#)
        #expect(try json.deserialize(bytes) == order)
        #expect(try StringSerializer().deserialize(StringSerializer().serialize("grüße")) == "grüße")
        #expect(try BytesSerializer().deserialize([1, 0, 255]) == [1, 0, 255])
    }

    @Test func whatIsNoValueIsOneKindOfError() {
        for failing in [
            { _ = try JSONSerializer(Order.self).deserialize(Array("{}".utf8)) },
            { _ = try StringSerializer().deserialize([0xFF]) },
            { _ = try JSONSerializer(Double.self).serialize(.nan) },
            { _ = try ProducerRecord(topic: "t", key: "k", .string, value: Double.infinity, .json(Double.self)) },
        ] as [() throws -> Void] {
            let error = #expect(throws: ClientError.self) { try failing() }
            #expect(error?.code == .serializationFailed)
            #expect(error?.isRetriable == false)
        }
    }

    @Test func recordsOfValues() throws {
        let record = try ProducerRecord(topic: "t", key: "k", .string, value: [1, 2], .json([Int].self))
        #expect(record == ProducerRecord(topic: "t", key: Array("k".utf8), value: Array("[1,2]".utf8)))
        let tombstone = try ProducerRecord(topic: "t", key: "k", .string, value: nil, .json(Int.self))
        #expect(tombstone.value == nil)
    }
}
