import RecordFormat
import Synchronization
import Testing

@testable import CommitLog

@Suite struct ConcurrencyTests {
    /// Appends, reads, synchronizations, retention and look-ups at the same time.
    @Test func readersSeeWholeBatchesInOrder() throws {
        let disk = SimulatedFileSystem(seed: 1)
        let log = try Fixture.open(disk, Fixture.configuration(segmentBytes: 2000))
        let failures = Mutex<[String]>([])
        let isDone = Atomic<Bool>(false)
        let commit = GroupCommit(threads: 2) { log, result in
            if case .success(let offset) = result { log.updateHighWatermark(offset) }
        }
        let next = Atomic<Int>(0)
        runOnThreads(4) {
            switch next.wrappingAdd(1, ordering: .relaxed).oldValue {
            case 0:
                for index in 0..<3000 {
                    log.append([Fixture.batch(["\(index)"], timestamp: Int64(index))])
                    commit.request(log, upTo: log.endOffset)
                    if index % 500 == 499 { _ = try? log.deleteRecords(before: log.highWatermark / 2, now: 0) }
                }
                isDone.store(true, ordering: .releasing)
            case 1:
                while !isDone.load(ordering: .acquiring) {
                    _ = try? log.offset(forTimestamp: log.endOffset / 2)
                    _ = try? log.deletePendingFiles(now: .max)
                }
            default:
                while !isDone.load(ordering: .acquiring) {
                    let start = log.startOffset
                    // The start may move on between the two calls.
                    guard let records = try? log.records(from: max(start, log.highWatermark - 20)) else { continue }
                    for record in records where record.value.map({ $0 != Array("\(record.offset)".utf8) }) ?? true {
                        failures.withLock { $0.append("\(record)") }
                    }
                }
            }
        }
        commit.stop()
        #expect(failures.withLock { $0 }.isEmpty)
        #expect(log.durableOffset == 3000 && log.highWatermark == 3000)
        #expect(try log.values(from: 2990) == (2990..<3000).map(String.init))
    }
}
