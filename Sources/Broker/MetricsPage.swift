import CommitLog
import KafkaProtocol

/// The metrics in Prometheus' text format.
package enum MetricsPage {
    package static func render(_ broker: Broker) -> String {
        var page = Page()
        let loops = broker.metrics.loops
        requests(loops, into: &page)
        totals(loops, into: &page)
        logs(broker, into: &page)
        groups(broker, into: &page)
        return page.text
    }

    private struct Page {
        var text = ""

        mutating func begin(_ name: String, _ type: String, _ help: String) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
        }

        mutating func sample(_ name: String, _ labels: [(String, String)] = [], _ value: some CustomStringConvertible) {
            text += name
            if !labels.isEmpty {
                text += "{" + labels.map { "\($0.0)=\"\(Page.escaped($0.1))\"" }.joined(separator: ",") + "}"
            }
            text += " \(value)\n"
        }

        private static func escaped(_ value: String) -> String {
            value.contains { "\\\"\n".contains($0) }
                ? value.flatMap { character -> String in
                    switch character {
                    case "\\": "\\\\"
                    case "\"": "\\\""
                    case "\n": "\\n"
                    default: String(character)
                    }
                }.map(String.init).joined() : value
        }
    }

    private static func sum(_ loops: [LoopMetrics], _ value: (LoopMetrics) -> UInt64) -> UInt64 {
        loops.reduce(0) { $0 + value($1) }
    }

    private static func requests(_ loops: [LoopMetrics], into page: inout Page) {
        let used = ApiKey.allCases.filter { api in sum(loops) { $0.requestCount(api) } > 0 }
        page.begin("martlet_requests_total", "counter", "Requests answered, by API.")
        for api in used {
            page.sample("martlet_requests_total", [("api", "\(api)")], sum(loops) { $0.requestCount(api) })
        }
        page.begin("martlet_request_errors_total", "counter", "Errors in replies, by API and error.")
        var errors: [LoopMetrics.ErrorKey: UInt64] = [:]
        for loop in loops { errors.merge(loop.errorCounts()) { $0 + $1 } }
        for (key, count) in errors.sorted(by: { ($0.key.api, $0.key.code) < ($1.key.api, $1.key.code) }) {
            page.sample(
                "martlet_request_errors_total",
                [
                    ("api", ApiKey(rawValue: key.api).map { "\($0)" } ?? "\(key.api)"),
                    ("error", ErrorCode(rawValue: key.code).description),
                ], count)
        }
        let name = "martlet_request_duration_seconds"
        page.begin(name, "histogram", "From a request's arrival to its reply, waiting included.")
        for api in used {
            var cumulative: UInt64 = 0
            for (bucket, bound) in LoopMetrics.bucketBounds.enumerated() {
                cumulative += sum(loops) { $0.latencyBucket(api, bucket) }
                page.sample(
                    name + "_bucket", [("api", "\(api)"), ("le", "\(Double(bound) / 1e9)")], cumulative)
            }
            cumulative += sum(loops) { $0.latencyBucket(api, LoopMetrics.bucketBounds.count) }
            page.sample(name + "_bucket", [("api", "\(api)"), ("le", "+Inf")], cumulative)
            page.sample(name + "_sum", [("api", "\(api)")], Double(sum(loops) { $0.latencySum(api) }) / 1e9)
            page.sample(name + "_count", [("api", "\(api)")], cumulative)
        }
    }

    private static func totals(_ loops: [LoopMetrics], into page: inout Page) {
        let counters: [(name: String, total: LoopMetrics.Total, help: String)] = [
            ("martlet_produced_bytes_total", .bytesIn, "Bytes of record batches received."),
            ("martlet_produced_records_total", .recordsIn, "Records received."),
            ("martlet_fetched_bytes_total", .bytesOut, "Bytes of record batches sent."),
            ("martlet_connections_opened_total", .connectionsOpened, "Connections accepted."),
            ("martlet_connections_closed_total", .connectionsClosed, "Connections ended."),
            ("martlet_frames_refused_total", .framesRefused, "Frames whose length was out of bounds."),
        ]
        for counter in counters {
            page.begin(counter.name, "counter", counter.help)
            page.sample(counter.name, [], sum(loops) { $0.total(counter.total) })
        }
    }

    private static func logs(_ broker: Broker, into page: inout Page) {
        let logs = broker.topics.topics.values.sorted { $0.name < $1.name }.flatMap(\.logs)
        page.begin("martlet_log_directory_online", "gauge", "1 while the data folder is usable.")
        page.sample("martlet_log_directory_online", [], broker.logs.health.isOffline ? 0 : 1)
        let gauges: [(name: String, help: String, value: (Log) -> Int64)] = [
            ("martlet_log_size_bytes", "Bytes of a partition's log.", { $0.size }),
            ("martlet_log_start_offset", "The first offset of a partition.", { $0.startOffset }),
            ("martlet_log_end_offset", "The offset that the next record gets.", { $0.endOffset }),
            ("martlet_log_high_watermark", "The end of what consumers may read.", { $0.highWatermark }),
        ]
        for gauge in gauges {
            page.begin(gauge.name, "gauge", gauge.help)
            for log in logs {
                page.sample(
                    gauge.name, [("topic", log.name.topic), ("partition", "\(log.name.partition)")], gauge.value(log))
            }
        }
    }

    private static func groups(_ broker: Broker, into page: inout Page) {
        let topics = broker.topics
        page.begin("martlet_group_lag_records", "gauge", "Records that a group has not committed, by partition.")
        for shard in broker.groups.shards.all {
            for offset in shard.read(\.committedOffsets) {
                guard let leader = topics.topic(named: offset.topic)?.leader(of: offset.partition) else { continue }
                page.sample(
                    "martlet_group_lag_records",
                    [("group", offset.group), ("topic", offset.topic), ("partition", "\(offset.partition)")],
                    max(0, leader.highWatermark - offset.offset))
            }
        }
    }
}
