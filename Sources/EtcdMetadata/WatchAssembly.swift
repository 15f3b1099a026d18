/// Makes whole revisions of the events of a watch, each once: etcd sends several revisions in one message, cuts a large
/// message into fragments, and after a reconnection may send again what was there before.
struct WatchAssembly {
    struct Revision: Equatable {
        var number: Int64
        var events: [Mvccpb_Event]
    }

    /// The first revision that was not handed out yet.
    private(set) var nextRevision: Int64
    /// The events of the last revision of a fragment, to which the next fragment may add.
    private var unfinished: Revision?

    init(after revision: Int64) {
        nextRevision = revision + 1
    }

    /// The revisions that are whole now. Only the last message of those cut apart has `hasMoreFragments` false.
    mutating func add(_ events: [Mvccpb_Event], hasMoreFragments: Bool) -> [Revision] {
        var revisions: [Revision] = []
        if let unfinished { revisions.append(unfinished) }
        unfinished = nil
        for event in events where event.kv.modRevision >= nextRevision {
            if revisions.last?.number == event.kv.modRevision {
                revisions[revisions.count - 1].events.append(event)
            } else {
                revisions.append(Revision(number: event.kv.modRevision, events: [event]))
            }
        }
        if hasMoreFragments { unfinished = revisions.popLast() }
        if let last = revisions.last { nextRevision = last.number + 1 }
        return revisions
    }

    /// The watch begins anew at `nextRevision`, and so does what was unfinished.
    mutating func restart() {
        unfinished = nil
    }
}
