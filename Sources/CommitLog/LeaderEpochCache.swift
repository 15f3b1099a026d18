/// Where each leader epoch began in a log: `leader-epoch-checkpoint`. Epochs and offsets grow strictly.
package struct LeaderEpochCache: Equatable, Sendable {
    package struct Entry: Equatable, Sendable {
        package var epoch: Int32
        package var startOffset: Int64

        package init(epoch: Int32, startOffset: Int64) {
            self.epoch = epoch
            self.startOffset = startOffset
        }
    }

    package private(set) var entries: [Entry]

    package init(entries: [Entry] = []) {
        self.entries = []
        for entry in entries { assign(epoch: entry.epoch, startOffset: entry.startOffset) }
    }

    package var latestEpoch: Int32? { entries.last?.epoch }

    /// Records that `epoch` begins at `startOffset`. Entries that contradict it are wrong and go. Returns whether
    /// anything changed.
    @discardableResult
    package mutating func assign(epoch: Int32, startOffset: Int64) -> Bool {
        guard epoch >= 0 else { return false }
        if let last = entries.last, last.epoch == epoch, last.startOffset <= startOffset { return false }
        entries.removeAll { $0.epoch >= epoch || $0.startOffset >= startOffset }
        entries.append(Entry(epoch: epoch, startOffset: startOffset))
        return true
    }

    /// The largest epoch not above `epoch` and the offset after its last record; nil when nothing is known of it.
    package func endOffset(forEpoch epoch: Int32, logEndOffset: Int64) -> Entry? {
        guard let latest = entries.last, epoch >= 0 else { return nil }
        if epoch == latest.epoch { return Entry(epoch: epoch, startOffset: logEndOffset) }
        guard let higher = entries.firstIndex(where: { $0.epoch > epoch }) else { return nil }
        // Before the first known epoch there may have been records, all gone now.
        let found = higher > 0 ? entries[higher - 1].epoch : epoch
        return Entry(epoch: found, startOffset: entries[higher].startOffset)
    }

    package func epoch(forOffset offset: Int64) -> Int32? {
        entries.last { $0.startOffset <= offset }?.epoch
    }

    /// Forgets epochs that began at or after `endOffset`.
    @discardableResult
    package mutating func truncateEnd(to endOffset: Int64) -> Bool {
        let before = entries.count
        entries.removeAll { $0.startOffset >= endOffset }
        return entries.count != before
    }

    /// Forgets epochs that ended at or before `startOffset`; the one that contains it now starts there.
    @discardableResult
    package mutating func truncateStart(to startOffset: Int64) -> Bool {
        guard let containing = entries.lastIndex(where: { $0.startOffset <= startOffset }) else { return false }
        guard containing > 0 || entries[containing].startOffset < startOffset else { return false }
        entries[containing].startOffset = startOffset
        entries.removeSubrange(..<containing)
        return true
    }

    package mutating func clear() {
        entries.removeAll()
    }

    // MARK: The file

    static let fileName = "leader-epoch-checkpoint"

    func text() -> [UInt8] {
        CheckpointText.encode(entries.map { "\($0.epoch) \($0.startOffset)" })
    }

    /// nil when the text is not such a checkpoint.
    init?(text: [UInt8]) {
        guard let lines = CheckpointText.decode(text) else { return nil }
        var entries: [Entry] = []
        for line in lines {
            let parts = line.split(separator: " ")
            guard parts.count == 2, let epoch = Int32(parts[0]), let offset = Int64(parts[1]), epoch >= 0, offset >= 0,
                epoch > entries.last?.epoch ?? -1, offset >= entries.last?.startOffset ?? 0
            else { return nil }
            entries.append(Entry(epoch: epoch, startOffset: offset))
        }
        self.entries = entries
    }
}
