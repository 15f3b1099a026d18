/// Where the newest batches of the active segment start, so that readers at the log's end need no index. A ring of
/// fixed size.
struct RecentBatches {
    struct Entry {
        var baseOffset: Int64
        var position: Int64
    }

    private static let capacity = 64

    private var entries: [Entry] = []
    private var start = 0

    subscript(index: Int) -> Entry { entries[(start + index) % Self.capacity] }

    mutating func append(baseOffset: Int64, position: Int64) {
        let entry = Entry(baseOffset: baseOffset, position: position)
        if entries.count < Self.capacity {
            if entries.isEmpty { entries.reserveCapacity(Self.capacity) }
            entries.append(entry)
        } else {
            entries[start] = entry
            start = (start + 1) % Self.capacity
        }
    }

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        start = 0
    }

    /// The index of the batch that holds `offset`, or would; nil when it lies before all of them.
    func lastIndex(atOrBefore offset: Int64) -> Int? {
        guard !entries.isEmpty, self[0].baseOffset <= offset else { return nil }
        var low = 0
        var high = entries.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if self[middle].baseOffset <= offset { low = middle } else { high = middle }
        }
        return low
    }

    var count: Int { entries.count }
}
