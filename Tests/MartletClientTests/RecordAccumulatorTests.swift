import RecordFormat
import Testing

@testable import MartletClient

@Suite struct RecordAccumulatorTests {
    let start = ContinuousClock.now
    let zero = TopicPartition("t", 0)
    let one = TopicPartition("t", 1)

    func record(_ length: Int = 10) -> ProducerRecord {
        ProducerRecord(topic: "t", value: [UInt8](repeating: 0x61, count: length), timestamp: 1)
    }

    func accumulator(batchBytes: Int = 1000, linger: Duration = .milliseconds(5)) -> RecordAccumulator {
        var options = ProducerOptions()
        options.batchBytes = batchBytes
        options.linger = linger
        return RecordAccumulator(options: options)
    }

    @Test func aBatchWaitsForItsLinger() {
        var accumulator = accumulator()
        #expect(accumulator.append(record(), to: zero, now: start).isFull == false)
        #expect(accumulator.nextDeadline == start + .milliseconds(5))
        #expect(accumulator.takeReady(now: start + .milliseconds(4), isFlushing: false).isEmpty)
        let ready = accumulator.takeReady(now: start + .milliseconds(5), isFlushing: false)
        #expect(ready.map(\.recordCount) == [1])
        #expect(accumulator.nextDeadline == nil)
    }

    @Test func aFullBatchGoesAtOnceAndAFlushTakesTheRest() {
        var accumulator = accumulator(batchBytes: 200)
        #expect(accumulator.append(record(200), to: zero, now: start).isFull)
        _ = accumulator.append(record(), to: one, now: start)
        #expect(accumulator.takeReady(now: start, isFlushing: false).map(\.partition) == [zero])
        #expect(accumulator.takeReady(now: start, isFlushing: true).map(\.partition) == [one])
    }

    @Test func aPartitionsNextBatchWaitsUntilTheOneBeforeIsDone() {
        var accumulator = accumulator(batchBytes: 100)
        _ = accumulator.append(record(100), to: zero, now: start)
        _ = accumulator.append(record(101), to: zero, now: start)
        let first = accumulator.takeReady(now: start, isFlushing: true)
        #expect(first.map(\.recordCount) == [1])
        #expect(accumulator.takeReady(now: start, isFlushing: true).isEmpty)
        accumulator.finish(first[0])
        let second = accumulator.takeReady(now: start, isFlushing: true)
        #expect(second.count == 1)
        #expect(second[0].byteCount > first[0].byteCount)
        #expect(!accumulator.isEmpty)
        accumulator.finish(second[0])
        #expect(accumulator.isEmpty)
    }

    @Test func memoryIsWhatTheBatchesTake() throws {
        var accumulator = accumulator()
        var charged = 0
        for length in [0, 1, 70, 300] {
            charged += accumulator.append(record(length), to: zero, now: start).byteCount
        }
        #expect(accumulator.bufferedBytes == charged)
        let batch = try #require(accumulator.takeReady(now: start, isFlushing: true).first)
        #expect(try batch.builder.build().count == charged)
    }

    @Test func sequencesGoOnAndWrapAround() {
        var sequences = ProducerSequences(producerId: 7, producerEpoch: 2)
        #expect(sequences.assign(zero, count: 3).baseSequence == 0)
        #expect(sequences.assign(one, count: 1).baseSequence == 0)
        #expect(sequences.assign(zero, count: Int(Int32.max) - 2).baseSequence == 3)
        // 3 + 2147483645 is one beyond the largest number.
        #expect(sequences.assign(zero, count: 5).baseSequence == 0)
        sequences.takeBack(zero, count: 5)
        #expect(sequences.assign(zero, count: 1).baseSequence == 0)
        sequences.takeBack(one, count: 1)
        #expect(sequences.assign(one, count: 1).baseSequence == 0)
    }
}
