import KafkaProtocol
import Synchronization

/// What one loop counts. Only the loop's thread writes, so each count is a plain load and store; the metrics page reads
/// from its own thread.
package final class LoopMetrics: Sendable {
    /// Upper bounds of the latency buckets, in nanoseconds: 50 µs doubled up to 27 s.
    package static let bucketBounds: [Int64] = (0..<20).map { 50_000 << Int64($0) }
    static let apiCount = Int(ApiKey.allCases.map(\.rawValue).max()!) + 1
    private static let buckets = bucketBounds.count + 1

    private let requests = Counters(LoopMetrics.apiCount)
    private let latencies = Counters(LoopMetrics.apiCount * LoopMetrics.buckets)
    private let latencySums = Counters(LoopMetrics.apiCount)
    private let totals = Counters(Total.allCases.count)
    /// Rare, so a dictionary under a lock.
    private let errors = Mutex<[ErrorKey: UInt64]>([:])
    /// Requests of this tick that were answered in it; their latency is the tick's length.
    private let tick = TickCounts()

    enum Total: Int, CaseIterable {
        case bytesIn, recordsIn, bytesOut, connectionsOpened, connectionsClosed, framesRefused
    }

    package struct ErrorKey: Hashable, Sendable {
        package let api: Int16
        package let code: Int16
    }

    /// The loop's own, not shared.
    private final class TickCounts: @unchecked Sendable {
        // Sendable: touched by the loop's thread only.
        var counts = [UInt32](repeating: 0, count: LoopMetrics.apiCount)
        var seen: [Int] = []
    }

    init() {}

    // MARK: Counting, on the loop's thread

    func immediate(_ api: ApiKey, error: ErrorCode) {
        let index = Int(api.rawValue)
        requests.add(1, at: index)
        if tick.counts[index] == 0 { tick.seen.append(index) }
        tick.counts[index] += 1
        if error != .none { failed(api, error) }
    }

    /// A request that was answered later than in its tick.
    func delayed(_ api: ApiKey, nanoseconds: Int64) {
        record(Int(api.rawValue), nanoseconds, count: 1)
        requests.add(1, at: Int(api.rawValue))
    }

    func failed(_ api: ApiKey, _ code: ErrorCode) {
        errors.withLock { $0[ErrorKey(api: api.rawValue, code: code.rawValue), default: 0] += 1 }
    }

    /// The errors in a reply; from any thread.
    func countErrors(of response: some ProtocolResponse, _ api: ApiKey) {
        response.forEachErrorCode { code in
            if code != ErrorCode.none.rawValue { failed(api, ErrorCode(rawValue: code)) }
        }
    }

    func received(bytes: Int, records: Int) {
        totals.add(UInt64(bytes), at: Total.bytesIn.rawValue)
        totals.add(UInt64(records), at: Total.recordsIn.rawValue)
    }

    func sent(bytes: Int) { totals.add(UInt64(bytes), at: Total.bytesOut.rawValue) }
    package func connectionOpened() { totals.add(1, at: Total.connectionsOpened.rawValue) }
    package func connectionClosed() { totals.add(1, at: Total.connectionsClosed.rawValue) }
    package func frameRefused() { totals.add(1, at: Total.framesRefused.rawValue) }

    func endTick(nanoseconds: Int64) {
        for index in tick.seen {
            record(index, nanoseconds, count: UInt64(tick.counts[index]))
            tick.counts[index] = 0
        }
        tick.seen.removeAll(keepingCapacity: true)
    }

    private func record(_ api: Int, _ nanoseconds: Int64, count: UInt64) {
        // The bucket is the number of doublings of 50 µs that it takes.
        let quotient = UInt64(max(0, nanoseconds - 1)) / 50_000
        let bucket = quotient == 0 ? 0 : min(LoopMetrics.buckets - 1, 64 - quotient.leadingZeroBitCount)
        latencies.add(count, at: api * LoopMetrics.buckets + bucket)
        latencySums.add(UInt64(max(0, nanoseconds)) * count, at: api)
    }

    // MARK: Reading, from anywhere

    func total(_ total: Total) -> UInt64 { totals.value(at: total.rawValue) }
    func requestCount(_ api: ApiKey) -> UInt64 { requests.value(at: Int(api.rawValue)) }
    func latencySum(_ api: ApiKey) -> UInt64 { latencySums.value(at: Int(api.rawValue)) }
    func latencyBucket(_ api: ApiKey, _ bucket: Int) -> UInt64 {
        latencies.value(at: Int(api.rawValue) * LoopMetrics.buckets + bucket)
    }
    func errorCounts() -> [ErrorKey: UInt64] { errors.withLock { $0 } }
}

/// An array of counts with one writer.
final class Counters: Sendable {
    // Atomics cannot live in an array; their memory is allocated here and never moves.
    nonisolated(unsafe) private let values: UnsafeMutablePointer<Atomic<UInt64>>
    private let count: Int

    init(_ count: Int) {
        self.count = count
        values = .allocate(capacity: count)
        for index in 0..<count { (values + index).initialize(to: Atomic(0)) }
    }

    deinit {
        values.deinitialize(count: count)
        values.deallocate()
    }

    /// For the one writer: a load and a store, no bus lock.
    @inline(__always)
    func add(_ amount: UInt64, at index: Int) {
        precondition(index >= 0 && index < count)
        let value = values[index].load(ordering: .relaxed)
        values[index].store(value &+ amount, ordering: .relaxed)
    }

    func value(at index: Int) -> UInt64 {
        precondition(index >= 0 && index < count)
        return values[index].load(ordering: .relaxed)
    }
}
