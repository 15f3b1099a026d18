import Testing

@testable import Broker

@Suite struct DeadlineQueueTests {
    @Test("entries come out in the order of their times, swept or not")
    func order() {
        var queue = DeadlineQueue()
        var state: UInt64 = 1
        func random() -> Int64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1
            return Int64(state >> 40)
        }
        for slot in 0..<3000 {
            if queue.wantsSweep { queue.sweep { $0.slot % 2 == 1 } }
            queue.insert(.init(time: random(), connection: 1, slot: UInt64(slot)))
        }
        var last = Int64.min
        var count = 0
        while let entry = queue.popExpired(now: .max) {
            #expect(entry.time >= last)
            last = entry.time
            count += 1
        }
        #expect(count < 3000 && count >= 1500, "\(count)")
        #expect(queue.next == nil)
    }

    @Test("answered requests do not pile up until their time comes")
    func bounded() {
        var queue = DeadlineQueue()
        for slot in 0..<1_000_000 {
            if queue.wantsSweep { queue.sweep { $0.slot + 10 < UInt64(slot) } }
            queue.insert(.init(time: Int64(slot) + 30_000_000, connection: 1, slot: UInt64(slot)))
        }
        #expect(queue.count <= 1024)
    }

    @Test("nothing expires before its time")
    func notYet() {
        var queue = DeadlineQueue()
        queue.insert(.init(time: 10, connection: 1, slot: 1))
        #expect(queue.popExpired(now: 9) == nil)
        #expect(queue.popExpired(now: 10)?.slot == 1)
    }
}
