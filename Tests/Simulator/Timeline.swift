import TestSupport

/// Virtual time and all that is to happen in it, in one order that the seed decides. One thread runs everything.
package final class Timeline: @unchecked Sendable {
    // Sendable: a simulation is confined to one thread; so are the other classes here that say so.

    private struct Event {
        var time: Int64
        var sequence: UInt64
        var life: Life?
        /// The loop that the work runs on; nil for other threads.
        var port: SimulatedPort?
        var label: StaticString
        var body: () -> Void
    }

    /// Calls that wait for the metadata store let others go on meanwhile; so deep at the most.
    private static let deepestWait = 4
    /// More in one second of virtual time is a circle.
    private static let busiestSecond = 20_000

    /// Nanoseconds since the simulation began.
    package private(set) var now: Int64 = 0
    package private(set) var eventCount = 0
    /// Over all events, in order: two runs that have the same did the same.
    package private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    package var random: SeededGenerator
    /// The loop whose work runs now.
    private(set) var currentPort: SimulatedPort?
    var afterEvent: () -> Void = {}
    /// Told what goes round in circles.
    var onLivelock: (String) -> Void = { _ in }
    private var secondStart: Int64 = 0
    private var secondEvents = 0
    private var busyLabels: [String: Int] = [:]
    private var heap: [Event] = []
    private var sequence: UInt64 = 0
    private var waits = 0

    package init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
    }

    // MARK: What is to happen

    /// `life` is the life of a node that the event belongs to: it happens only while that goes on and is not paused.
    func after(
        _ delay: Int64, _ label: StaticString, life: Life? = nil, port: SimulatedPort? = nil,
        _ body: @escaping () -> Void
    ) {
        sequence += 1
        push(
            Event(time: now + max(0, delay), sequence: sequence, life: life, port: port, label: label, body: body))
    }

    /// Runs everything up to the time, or until `stop` says so.
    package func run(until end: Int64, stop: () -> Bool = { false }) {
        while let first = heap.first, first.time <= end, !stop() { step() }
        if !stop() { now = max(now, end) }
    }

    /// The caller waits while the world goes on.
    func wait(_ delay: Int64) {
        precondition(currentPort == nil, "a loop must not wait")
        guard waits < Self.deepestWait else { return }
        waits += 1
        let end = now + delay
        while let first = heap.first, first.time <= end { step() }
        now = max(now, end)
        waits -= 1
    }

    private func step() {
        var event = pop()
        if let life = event.life {
            guard life.isAlive else { return }
            if life.node.pausedUntil > event.time {
                // In order, when it goes on.
                event.time = life.node.pausedUntil
                push(event)
                return
            }
        }
        now = max(now, event.time)
        eventCount += 1
        watch(event)
        note(UInt64(bitPattern: event.time))
        note(event.label)
        note(UInt64(event.life?.number ?? 0))
        let before = currentPort
        currentPort = event.port
        event.body()
        currentPort = before
        if waits == 0 { afterEvent() }
    }

    private func watch(_ event: Event) {
        if now - secondStart >= 1_000_000_000 {
            secondStart = now
            secondEvents = 0
            busyLabels.removeAll()
        }
        secondEvents += 1
        guard secondEvents > Self.busiestSecond else { return }
        busyLabels["\(event.label) of node \(event.life?.node.id ?? 0)", default: 0] += 1
        if secondEvents == Self.busiestSecond + 2000 {
            onLivelock(
                busyLabels.sorted { ($0.value, $0.key) > ($1.value, $1.key) }.map { "\($0.value) \($0.key)" }.joined(
                    separator: ", "))
        }
    }

    // MARK: The trace

    func note(_ value: UInt64) {
        hash = (hash ^ value) &* 0x0000_0100_0000_01B3
        hash ^= hash >> 29
    }

    func note(_ label: StaticString) {
        label.withUTF8Buffer { for byte in $0 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 } }
    }

    func note(_ text: String) {
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    }

    // MARK: The heap

    private func isBefore(_ left: Event, _ right: Event) -> Bool {
        (left.time, left.sequence) < (right.time, right.sequence)
    }

    private func push(_ event: Event) {
        heap.append(event)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isBefore(heap[child], heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private func pop() -> Event {
        let first = heap[0]
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if isBefore(heap[child], heap[smallest]) { smallest = child }
            }
            guard smallest != parent else { return first }
            heap.swapAt(parent, smallest)
            parent = smallest
        }
    }

    // MARK: Chance

    func chance(_ probability: Double) -> Bool {
        probability > 0 && Double.random(in: 0..<1, using: &random) < probability
    }

    /// A time in nanoseconds between two in milliseconds.
    func between(_ least: Double, _ most: Double) -> Int64 {
        Int64(Double.random(in: least...most, using: &random) * 1e6)
    }

    func pick<Element>(_ choices: [Element]) -> Element {
        choices[Int.random(in: 0..<choices.count, using: &random)]
    }
}

extension Int64 {
    static func milliseconds(_ count: Double) -> Int64 { Int64(count * 1e6) }
    static func seconds(_ count: Double) -> Int64 { Int64(count * 1e9) }
}
