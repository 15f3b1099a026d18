import Testing

@testable import EtcdMetadata

@Suite struct WatchAssemblyTests {
    private struct Random: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    private func event(_ revision: Int64, _ index: Int) -> Mvccpb_Event {
        var event = Mvccpb_Event()
        event.kv.modRevision = revision
        event.kv.lease = Int64(index)
        return event
    }

    @Test("however etcd cuts the history into messages and fragments, and breaks off: each revision once and whole")
    func anyCut() {
        for seed in 0..<2000 {
            var random = Random(state: UInt64(seed))
            var history: [WatchAssembly.Revision] = []
            for number in 1...Int64.random(in: 1...12, using: &random) where Bool.random(using: &random) {
                let events = (0..<Int.random(in: 1...4, using: &random)).map { event(number, $0) }
                history.append(WatchAssembly.Revision(number: number, events: events))
            }
            var assembly = WatchAssembly(after: 0)
            var told: [WatchAssembly.Revision] = []
            var breaks = Int.random(in: 0...3, using: &random)
            watch: while true {
                assembly.restart()
                // A message holds whole revisions; only its fragments may part one.
                var rest = history.filter { $0.number >= assembly.nextRevision }
                while !rest.isEmpty {
                    let count = Int.random(in: 1...rest.count, using: &random)
                    var events = rest.prefix(count).flatMap(\.events)
                    rest.removeFirst(count)
                    while !events.isEmpty {
                        let size = Int.random(in: 1...events.count, using: &random)
                        let fragment = Array(events.prefix(size))
                        events.removeFirst(size)
                        told += assembly.add(fragment, hasMoreFragments: !events.isEmpty)
                        if breaks > 0, Bool.random(using: &random) {
                            breaks -= 1
                            continue watch
                        }
                    }
                }
                break
            }
            #expect(told == history, "seed \(seed)")
        }
    }

    @Test("what comes again after a reconnection is not told again")
    func again() {
        var assembly = WatchAssembly(after: 4)
        #expect(assembly.add([event(4, 0), event(5, 0)], hasMoreFragments: false).map(\.number) == [5])
        #expect(assembly.add([event(5, 0), event(6, 0)], hasMoreFragments: false).map(\.number) == [6])
        #expect(assembly.nextRevision == 7)
    }
}
