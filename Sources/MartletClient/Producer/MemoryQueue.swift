/// Those who wait for memory, first come, first served: a record that needs much is not overtaken for ever by such as need
/// little. It is used under the producer's lock.
struct MemoryQueue {
    private var waiters: [MemoryWait] = []

    var isEmpty: Bool { waiters.isEmpty }
    var count: Int { waiters.count }

    mutating func append(_ waiter: MemoryWait) {
        waiters.append(waiter)
    }

    /// It does not wait any more. False when it was served before.
    mutating func remove(_ waiter: MemoryWait, _ core: inout ProducerCore) -> Bool {
        guard let index = waiters.firstIndex(where: { $0 === waiter }) else { return false }
        waiters.remove(at: index)
        if index == 0 { core.awaitedBytes = 0 }
        return true
    }

    /// Memory has become free, or one of them has given up: those who have got some, in turn.
    mutating func serve(_ core: inout ProducerCore, hasFreed: Bool) -> [MemoryWait] {
        var served: [MemoryWait] = []
        core.awaitedBytes = 0
        while served.count < waiters.count {
            let first = waiters[served.count]
            if let append = first.append {
                guard append(&core) else {
                    core.awaitedBytes = core.lastRefusedBytes
                    break
                }
                served.append(first)
            } else {
                guard hasFreed else { break }
                served.append(first)
                // It must come back to take something. What is on its way wakes the next one.
                if core.bufferedBytes > 0, core.refusal == nil { break }
            }
        }
        waiters.removeFirst(served.count)
        if !waiters.isEmpty {
            // Nothing lingers as long as somebody waits.
            core.isExhausted = true
            core.needsStep = true
        }
        return served
    }
}
