import Histogram
import Synchronization

/// Latencies of a run, from any thread.
final class LatencyRecorder: Sendable {
    private let histogram = Mutex(Histogram<UInt64>(numberOfSignificantValueDigits: .three))

    func record(_ latency: Duration) {
        let microseconds = UInt64(max(1, latency / .microseconds(1)))
        _ = histogram.withLock { $0.record(microseconds) }
    }

    var summary: Summary? { histogram.withLock { Summary($0) } }

    /// Milliseconds.
    struct Summary: Sendable {
        static let percentiles = [50.0, 90, 95, 99, 99.9, 99.99]

        let count: UInt64
        let mean: Double
        let maximum: Double
        let values: [Double]

        /// nil without any latency.
        init?(_ histogram: Histogram<UInt64>) {
            guard histogram.totalCount > 0 else { return nil }
            count = histogram.totalCount
            mean = histogram.mean / 1000
            maximum = Double(histogram.max) / 1000
            values = Self.percentiles.map { Double(histogram.valueAtPercentile($0)) / 1000 }
        }

        static func name(_ percentile: Double) -> String {
            percentile == percentile.rounded() ? "p\(Int(percentile))" : "p\(percentile)"
        }
    }
}
