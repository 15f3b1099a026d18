/// When which waiting request gives up: a binary heap, so that a waiting request has no timer object of its own.
///
/// Requests that were answered stay in it until their time comes or until they are the larger part of it: nearly all are
/// answered long before, and finding each in the heap would cost more than the request.
struct DeadlineQueue {
    struct Entry {
        /// Monotonic nanoseconds.
        var time: Int64
        var connection: UInt64
        var slot: UInt64
    }

    private var heap: [Entry] = []
    /// The size at which it is worth looking for answered requests.
    private var sweepSize = smallestSweep
    private static let smallestSweep = 1024

    var next: Int64? { heap.first?.time }
    var count: Int { heap.count }

    /// Whether it has grown so much that most of it may be answered.
    var wantsSweep: Bool { heap.count >= sweepSize }

    /// Drops the answered requests. The next sweep is due when the queue has doubled, so that an insertion costs a
    /// constant number of looks.
    mutating func sweep(isAnswered: (Entry) -> Bool) {
        heap.removeAll(where: isAnswered)
        // A sorted array is a heap.
        heap.sort { $0.time < $1.time }
        sweepSize = max(DeadlineQueue.smallestSweep, heap.count * 2)
    }

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
