import BrokerTestSupport
import KafkaProtocol
import Testing

@testable import Broker

@Suite struct MetricsTests {
    @Test("the page counts requests and their errors by name, and shows the logs")
    func page() throws {
        let fixture = try BrokerFixture(["auto.create.topics.enable": "false"])
        try fixture.createTopic("t", ["durability": "page-cache"])
        let client = fixture.connect()
        for _ in 0..<3 { client.send(try Batch.produce("t", [(0, Batch.of(["a", "b"]))], acks: 1), version: 7) }
        client.send(try Batch.produce("missing", [(0, Batch.of(["a"]))], acks: 1), version: 7)
        var request = MetadataRequest()
        var topic = MetadataRequest.MetadataRequestTopic()
        topic.name = "missing"
        request.topics = [topic]
        client.send(request, version: 9)
        fixture.run()
        let lines = Set(MetricsPage.render(fixture.broker).split(separator: "\n").map(String.init))
        for line in [
            "martlet_requests_total{api=\"produce\"} 4",
            "martlet_request_errors_total{api=\"produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"} 1",
            "martlet_request_errors_total{api=\"metadata\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"} 1",
            "martlet_request_duration_seconds_count{api=\"produce\"} 4",
            "martlet_produced_records_total 6",
            "martlet_log_end_offset{topic=\"t\",partition=\"0\"} 6",
            "martlet_log_directory_online 1",
        ] {
            #expect(lines.contains(line), "\(line)")
        }
    }

    @Test("every line is a comment or a sample that Prometheus reads")
    func format() throws {
        let fixture = try BrokerFixture()
        try fixture.createTopic("t")
        let sample = /[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+/
        for line in MetricsPage.render(fixture.broker).split(separator: "\n") where !line.hasPrefix("#") {
            #expect(line.wholeMatch(of: sample) != nil, "\(line)")
        }
    }
}
