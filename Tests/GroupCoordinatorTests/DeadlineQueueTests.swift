import CoordinatorCore
import TestSupport
import Testing

@testable import GroupCoordinator

@Suite struct DeadlineQueueTests {
    private func timer(_ index: Int) -> GroupTimer { .classicJoin(groupId: "\(index)") }

    @Test func timersFireInOrder() {
        var queue = DeadlineQueue<GroupTimer>()
        queue.schedule(timer(1), at: 30)
        queue.schedule(timer(2), at: 10)
        queue.schedule(timer(3), at: 20)
        #expect(queue.nextDeadline == 10)
        #expect(queue.popExpired(now: 9) == nil)
        #expect(queue.popExpired(now: 25) == timer(2))
        #expect(queue.popExpired(now: 25) == timer(3))
        #expect(queue.popExpired(now: 25) == nil)
    }

    @Test func deadlinesMoveBothWays() {
        var queue = DeadlineQueue<GroupTimer>()
        queue.schedule(timer(1), at: 10)
        queue.schedule(timer(1), at: 50)
        #expect(queue.popExpired(now: 10) == nil)
        #expect(queue.nextDeadline == 50)
        queue.schedule(timer(1), at: 20)
        #expect(queue.popExpired(now: 20) == timer(1))
        #expect(queue.popExpired(now: 100) == nil)
        #expect(queue.nextDeadline == nil)
    }

    @Test func cancelledTimersStaySilent() {
        var queue = DeadlineQueue<GroupTimer>()
        queue.schedule(timer(1), at: 10)
        queue.cancel(timer(1))
        #expect(queue.popExpired(now: 20) == nil)
        #expect(queue.nextDeadline == nil)
        queue.schedule(timer(1), at: 30)
        #expect(queue.popExpired(now: 29) == nil)
        #expect(queue.popExpired(now: 30) == timer(1))
    }

    @Test("a timer that is set and cancelled again and again costs one entry")
    func settingAndCancelling() {
        var queue = DeadlineQueue<GroupTimer>()
        for now in Int64(0)..<1000 {
            queue.schedule(timer(1), at: now + 10_000)
            queue.cancel(timer(1))
        }
        #expect(queue.entryCount == 1)
    }

    /// Against a plain dictionary, with any mix of operations.
    @Test(arguments: 0..<20) func behavesLikeATable(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var queue = DeadlineQueue<GroupTimer>()
        var table: [GroupTimer: Int64] = [:]
        var now: Int64 = 0
        for _ in 0..<500 {
            let timer = timer(Int.random(in: 0..<8, using: &generator))
            switch Int.random(in: 0..<4, using: &generator) {
            case 0, 1:
                let deadline = now + Int64.random(in: 0...40, using: &generator)
                queue.schedule(timer, at: deadline)
                table[timer] = deadline
            case 2:
                queue.cancel(timer)
                table[timer] = nil
            default:
                now += Int64.random(in: 0...20, using: &generator)
                while let fired = queue.popExpired(now: now) {
                    #expect(table.removeValue(forKey: fired).map { $0 <= now } == true)
                }
                #expect(table.values.allSatisfy { $0 > now })
            }
            if let first = table.values.min() { #expect(queue.nextDeadline.map { $0 <= first } == true) }
        }
    }
}
