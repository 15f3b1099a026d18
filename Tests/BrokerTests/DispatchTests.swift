import BrokerTestSupport
import Configuration
import KafkaProtocol
import Testing

@testable import Broker

@Suite struct DispatchTests {
    @Test("ApiVersions lists every handler with versions that the specification has")
    func apiVersions() throws {
        let fixture = try BrokerFixture()
        let client = fixture.connect()
        var request = ApiVersionsRequest()
        request.clientSoftwareName = "test"
        request.clientSoftwareVersion = "1.0"
        client.send(request, version: 3)
        fixture.run()
        let (_, response) = try #require(try client.reply(ApiVersionsResponse.self, version: 3))
        #expect(response.errorCode == 0 && response.apiKeys.count == SupportedApis.all.count)
        for entry in SupportedApis.all {
            #expect(entry.apiKey.validVersions.contains(entry.versions.lowerBound))
            #expect(entry.apiKey.validVersions.contains(entry.versions.upperBound))
        }
    }

    @Test("a version of ApiVersions that is too new is answered in version 0")
    func newerApiVersions() throws {
        let fixture = try BrokerFixture()
        let client = fixture.connect()
        client.send(frame: [0, 18, 0, 99, 0, 0, 0, 5, 0xFF, 0xFF])
        fixture.run()
        let (id, response) = try #require(try client.reply(ApiVersionsResponse.self, version: 0))
        #expect(id == 5 && response.errorCode == ErrorCode.unsupportedVersion.rawValue)
        #expect(!response.apiKeys.isEmpty && !client.isClosed)
    }

    @Test("unknown APIs and versions close that connection only")
    func unknown() throws {
        let fixture = try BrokerFixture()
        let frames: [[UInt8]] = [
            [0x7F, 0xFF, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF], [0xFF, 0xFF, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF],
            [0, 3, 0, 99, 0, 0, 0, 1, 0xFF, 0xFF], [0, 4, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF],
        ]
        for frame in frames {
            let client = fixture.connect()
            client.send(frame: frame)
            #expect(client.isClosed)
        }
        let other = fixture.connect()
        other.send(MetadataRequest(), version: 1)
        fixture.run()
        #expect(try other.reply(MetadataResponse.self, version: 1) != nil)
    }

    @Test("random bytes behind every API's header close the connection or are answered; nothing traps")
    func randomBodies() throws {
        let fixture = try BrokerFixture(["auto.create.topics.enable": "false"])
        try fixture.createTopic("t", ["durability": "page-cache"])
        var state: UInt64 = 42
        func random() -> UInt8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
        for entry in SupportedApis.all {
            for version in entry.versions {
                for length in [0, 1, 7, 40, 200] {
                    let client = fixture.connect()
                    var frame: [UInt8] = [
                        UInt8(entry.apiKey.rawValue >> 8), UInt8(truncatingIfNeeded: entry.apiKey.rawValue), 0,
                        UInt8(version), 0, 0, 0, 1, 0xFF, 0xFF,
                    ]
                    frame += (0..<length).map { _ in random() % 4 == 0 ? random() : 0 }
                    client.send(frame: frame)
                    fixture.run()
                }
            }
        }
        let client = fixture.connect()
        client.send(Batch.fetch("t", offset: 0), version: 11)
        fixture.run { client.received.count > 0 }
        #expect(try client.reply(FetchResponse.self, version: 11) != nil)
    }

    @Test("a client that does not read its replies is not given more")
    func backPressure() throws {
        let fixture = try BrokerFixture(["queued.max.response.bytes": "10000"])
        let client = fixture.connect()
        #expect(client.connection.acceptsRequests)
        client.unsentBytes = 10_000
        #expect(!client.connection.acceptsRequests)
    }

    @Test("requests that wait for their replies are limited")
    func queuedRequests() throws {
        let fixture = try BrokerFixture(["queued.max.requests": "2"])
        try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        for _ in 0..<2 {
            #expect(client.connection.acceptsRequests)
            client.send(Batch.fetch("t", offset: 0, wait: 500), version: 11)
        }
        #expect(!client.connection.acceptsRequests)
    }
}
