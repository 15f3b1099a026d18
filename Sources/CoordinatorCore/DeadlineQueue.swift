/// All timers of a shard in one binary heap.
///
/// A heartbeat moves a deadline further away far more often than a deadline passes, so a later deadline is only noted;
/// the heap's entry is put right when it comes up. A timer that was cancelled keeps its entry until that comes up, so that
/// setting and cancelling it again and again does not fill the heap. Invariant: each timer of `deadlines` has an entry in
/// the heap that is not later than its deadline, and seldom more than one.
package struct DeadlineQueue<Timer: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let deadline: Int64
        /// Breaks ties in the order of scheduling, so that equal inputs lead to equal outputs.
        let sequence: UInt64
        let timer: Timer

        func precedes(_ other: Entry) -> Bool {
            deadline != other.deadline ? deadline < other.deadline : sequence < other.sequence
        }
    }

    private var heap: [Entry] = []
    /// Without a deadline: cancelled.
    private var deadlines: [Timer: (deadline: Int64?, earliestEntry: Int64)] = [:]
    private var nextSequence: UInt64 = 0

    package init() {}

    package mutating func schedule(_ timer: Timer, at deadline: Int64) {
        if let current = deadlines[timer], current.earliestEntry <= deadline {
            deadlines[timer]!.deadline = deadline
        } else {
            deadlines[timer] = (deadline, deadline)
            push(timer, deadline)
        }
    }

    package mutating func cancel(_ timer: Timer) {
        deadlines[timer]?.deadline = nil
    }

    /// A moment not later than the first deadline. It may be early, since deadlines that moved are put right lazily;
    /// then `popExpired` finds nothing and the driver asks again.
    package var nextDeadline: Int64? { deadlines.isEmpty ? nil : heap.first?.deadline }

    /// Removes the first timer whose deadline has come.
    package mutating func popExpired(now: Int64) -> Timer? {
        while let first = heap.first, first.deadline <= now {
            removeFirst()
            guard let current = deadlines[first.timer], current.earliestEntry == first.deadline else { continue }
            guard let deadline = current.deadline, deadline > now else {
                deadlines[first.timer] = nil
                if current.deadline == nil { continue }
                return first.timer
            }
            deadlines[first.timer] = (deadline, deadline)
            push(first.timer, deadline)
        }
        return nil
    }

    /// How many entries the heap has, for tests.
    package var entryCount: Int { heap.count }

    private mutating func push(_ timer: Timer, _ deadline: Int64) {
        heap.append(Entry(deadline: deadline, sequence: nextSequence, timer: timer))
        nextSequence += 1
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].precedes(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var first = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].precedes(heap[first]) { first = child }
            }
            if first == parent { return }
            heap.swapAt(parent, first)
            parent = first
        }
    }
}
