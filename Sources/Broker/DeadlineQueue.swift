/// When which waiting request gives up: a binary heap. Requests that were answered stay in it until their time comes,
/// which is cheap, and a waiting request has no timer object of its own.
struct DeadlineQueue {
    struct Entry {
        /// Monotonic nanoseconds.
        var time: Int64
        var connection: UInt64
        var slot: UInt64
    }

    private var heap: [Entry] = []

    var next: Int64? { heap.first?.time }
    var count: Int { heap.count }

    mutating func insert(_ entry: Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent].time <= heap[child].time { break }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    /// Takes one entry whose time has come.
    mutating func popExpired(now: Int64) -> Entry? {
        guard let first = heap.first, first.time <= now else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown()
        }
        return first
    }

    private mutating func siftDown() {
        var parent = 0
        while true {
            var child = 2 * parent + 1
            if child >= heap.count { return }
            if child + 1 < heap.count && heap[child + 1].time < heap[child].time { child += 1 }
            if heap[parent].time <= heap[child].time { return }
            heap.swapAt(parent, child)
            parent = child
        }
    }
}
