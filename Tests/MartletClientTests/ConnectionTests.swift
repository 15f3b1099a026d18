import KafkaProtocol
import NIOCore
import Testing

@testable import MartletClient

@Suite struct ConnectionTests {
    @Test(arguments: [
        ("localhost", "localhost", 9092), ("localhost:19092", "localhost", 19092), ("[::1]:9093", "::1", 9093),
        ("[::1]", "::1", 9092), ("::1", "::1", 9092), ("10.0.0.1:1", "10.0.0.1", 1),
    ])
    func addresses(text: String, host: String, port: Int) throws {
        #expect(try BrokerAddress(parsing: text) == BrokerAddress(host: host, port: port))
    }

    @Test(arguments: ["", ":9092", "host:", "host:0", "host:65536", "host:x", "[::1", "[::1]9092", "a b:1"])
    func addressesThatAreNone(text: String) {
        #expect(throws: ClientError.self) { try BrokerAddress.list(text) }
    }

    @Test func aListOfAddresses() throws {
        let list = try BrokerAddress.list("a:1, b:2,c")
        #expect(list.map(\.description) == ["a:1", "b:2", "c:9092"])
    }

    @Test func repliesComeInTheOrderOfTheRequests() {
        var correlator = RequestCorrelator<String>(firstId: .max)
        let first = correlator.register("first")
        #expect(first == .max)
        #expect(correlator.skip() == 0)
        let second = correlator.register("second")
        #expect(second == 1)
        #expect(correlator.complete(second) == nil)
        #expect(correlator.complete(first) == "first")
        #expect(correlator.waiters == ["second"])
        #expect(correlator.complete(first) == nil)
        #expect(correlator.complete(second) == "second")
        #expect(correlator.count == 0)
    }

    @Test func manyRequestsAreForgottenAsTheyComplete() {
        var correlator = RequestCorrelator<Int>()
        let ids = (0..<200).map { correlator.register($0) }
        for (index, id) in ids.prefix(150).enumerated() { #expect(correlator.complete(id) == index) }
        #expect(correlator.removeAll() == Array(150..<200))
        #expect(correlator.removeAll().isEmpty)
    }

    @Test func theHighestCommonVersionIsTaken() {
        var response = ApiVersionsResponse()
        response.apiKeys = [
            entry(.metadata, 4, 9), entry(.produce, 0, 2), entry(.fetch, 12, 99), entry(.heartbeat, 3, 1),
        ]
        let table = ApiVersionTable(response)
        #expect(table.version(for: MetadataRequest.self) == 9)
        #expect(table.version(for: ProduceRequest.self) == nil)
        #expect(table.version(for: FetchRequest.self) == FetchRequest.validVersions.upperBound)
        #expect(table.version(for: HeartbeatRequest.self) == nil)
        #expect(table.version(for: ListGroupsRequest.self) == nil)
    }

    private func entry(_ key: ApiKey, _ first: Int16, _ last: Int16) -> ApiVersionsResponse.ApiVersion {
        var entry = ApiVersionsResponse.ApiVersion()
        entry.apiKey = key.rawValue
        entry.minVersion = first
        entry.maxVersion = last
        return entry
    }

    /// Length, key 12, version 4, correlation id 0, "me" and no tags; then the message of a flexible version.
    @Test func aRequestsFrame() throws {
        var request = HeartbeatRequest()
        request.groupId = "g"
        request.generationId = 5
        request.memberId = "m"
        let frame = try RequestFrame.encode(request, version: 4, clientId: "me")
        #expect(
            frame == [
                0, 0, 0, 23, 0, 12, 0, 4, 0, 0, 0, 0, 0, 2, 0x6D, 0x65, 0, 2, 0x67, 0, 0, 0, 5, 2, 0x6D, 0, 0,
            ])
    }

    @Test func aFieldThatTheVersionLacksIsRefused() {
        var request = HeartbeatRequest()
        request.groupInstanceId = "static"
        #expect(throws: ClientError.self) { try RequestFrame.encode(request, version: 0, clientId: "me") }
    }

    @Test func repliesAreDecodedWithTheirHeader() throws {
        // Correlation id 9, no tags, throttle time 0, error 27, no tags.
        let flexible = ByteBuffer(bytes: [0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 27, 0])
        #expect(try RequestFrame.decode(flexible, replyTo: HeartbeatRequest.self, version: 4).errorCode == 27)
        let old = ByteBuffer(bytes: [0, 0, 0, 9, 0, 27])
        #expect(try RequestFrame.decode(old, replyTo: HeartbeatRequest.self, version: 0).errorCode == 27)
        #expect(throws: ClientError.self) {
            try RequestFrame.decode(ByteBuffer(bytes: [0, 0, 0, 9, 0]), replyTo: HeartbeatRequest.self, version: 0)
        }
    }

    @Test func pausesGrowToTheirLimit() {
        var generator = CountingGenerator()
        var backoff = Backoff()
        backoff.jitter = 0
        let delays = [1, 2, 3, 6, 1000].map { backoff.delay(after: $0, using: &generator).milliseconds }
        #expect(delays == [50, 100, 200, 1000, 1000])
        backoff.jitter = 0.2
        for attempt in 1..<50 {
            let delay = backoff.delay(after: attempt, using: &generator)
            #expect(delay >= .milliseconds(40) && delay <= .milliseconds(1200))
        }
    }

    @Test func errorsSayWhatToDo() {
        let error = ClientError.refused(.topicAlreadyExists, "topic 'a'", message: "It is there.\nReally.")
        #expect(
            error.description
                == "topic 'a': It is there. Really (TOPIC_ALREADY_EXISTS); choose another name or add --if-not-exists")
        #expect(!error.isRetriable)
        #expect(ClientError.refused(.notLeaderOrFollower, "t-0").isRetriable)
        #expect(ClientError.from(0, "nothing") == nil)
        #expect(ClientError.refused(ErrorCode(rawValue: 999), "x").description == "x: error code 999")
    }
}
