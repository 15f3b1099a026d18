import RecordFormat

extension Log {
    /// Whole batches from the one that holds `offset`, of one segment, at most `maxBytes` (the last may be cut) and
    /// none from `upTo` on. With `minOneBatch` the first batch is there whole, however long. Empty when `offset` is at
    /// or after `upTo` or the end.
    package func read(
        from offset: Int64, maxBytes: Int, minOneBatch: Bool, upTo: Int64 = .max
    ) throws(LogReadError) -> LogSlice {
        // A segment that ends in offsets compacted away has no batch for the offset; the next one has.
        var next = offset
        while true {
            let plan = try lock.withLock { () throws(LogReadError) in
                try planRead(from: next, isFirst: next == offset, upTo: upTo)
            }
            switch try reading({ () throws(FileSystemError) in
                try plan.run(requested: offset, maxBytes: maxBytes, minOneBatch: minOneBatch)
            }) {
            case .slice(let slice): return slice
            case .continueAt(let following): next = following
            }
        }
    }

    /// Copies a slice's bytes. Returns how many; less than the slice's length when the log was truncated meanwhile.
    package func copy(
        _ slice: LogSlice, into buffer: UnsafeMutableRawBufferPointer
    ) throws(LogReadError) -> Int {
        precondition(buffer.count >= slice.length)
        return try reading { () throws(FileSystemError) in
            try slice.file.file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<slice.length]), at: slice.position)
        }
    }

    func reading<Result>(_ body: () throws(FileSystemError) -> Result) throws(LogReadError) -> Result {
        do {
            return try body()
        } catch {
            throw .storageFailure(error)
        }
    }

    private func planRead(from offset: Int64, isFirst: Bool, upTo: Int64) throws(LogReadError) -> ReadPlan {
        if state == .closed { throw .closed }
        if health.isOffline { throw .offline }
        let end = endOffset
        guard !isFirst || (offset >= startOffset && offset <= end) else {
            throw .offsetOutOfRange(start: startOffset, end: end)
        }
        let index = segmentIndex(for: offset)
        let segment = segments[index]
        let limit = min(upTo, end)
        var plan = ReadPlan(file: segment.file, offset: offset, size: segment.size)
        guard offset < limit else {
            plan.isEmpty = true
            return plan
        }
        let isActive = index == segments.count - 1
        plan.following = isActive ? nil : segments[index + 1].baseOffset

        if isActive, let at = recent.lastIndex(atOrBefore: offset) {
            plan.start = .exact(
                position: recent[at].position, baseOffset: recent[at].baseOffset,
                end: at + 1 < recent.count ? recent[at + 1].position : segment.size)
        } else {
            plan.start = .search(try search(offset, in: segment))
        }
        if limit < upperBound(ofSegment: index) {
            plan.limitOffset = limit
            if isActive, let at = recent.lastIndex(atOrBefore: limit), recent[at].baseOffset == limit {
                plan.limit = .exact(position: recent[at].position, baseOffset: limit, end: 0)
            } else {
                plan.limit = .search(try search(limit, in: segment))
            }
        }
        return plan
    }

    private func search(
        _ offset: Int64, in segment: Segment
    ) throws(LogReadError) -> IndexFile<OffsetIndexEntry>.Search {
        try reading { () throws(FileSystemError) in try segment.indexedPosition(for: offset) }
    }
}

/// A read prepared under the lock and carried out outside it.
private struct ReadPlan {
    enum Place {
        case exact(position: Int64, baseOffset: Int64, end: Int64)
        case search(IndexFile<OffsetIndexEntry>.Search)
    }

    enum Outcome {
        case slice(LogSlice)
        /// Nothing in this segment; look in the one that starts here.
        case continueAt(Int64)
    }

    var file: SegmentFile
    var offset: Int64
    /// The segment's size when the plan was made; whole batches end there.
    var size: Int64
    var isEmpty = false
    var start = Place.exact(position: 0, baseOffset: 0, end: 0)
    /// Batches from this offset on are not wanted; nil when all of the segment are.
    var limitOffset: Int64?
    var limit: Place?
    var following: Int64?

    func run(requested: Int64, maxBytes: Int, minOneBatch: Bool) throws(FileSystemError) -> Outcome {
        let nothing = LogSlice(file: file, position: 0, length: 0, firstBatchBaseOffset: requested)
        if isEmpty { return .slice(nothing) }

        let position: Int64
        let baseOffset: Int64
        let firstEnd: Int64
        switch start {
        case .exact(let exact, let base, let end):
            (position, baseOffset, firstEnd) = (exact, base, end)
        case .search(let search):
            let from = try Segment.finish(search, offset: offset, baseOffset: file.baseOffset)
            guard let found = try Segment.batch(at: offset, in: file.file, from..<size) else {
                guard let following else { return .slice(nothing) }
                return .continueAt(following)
            }
            position = found.position
            baseOffset = found.header.baseOffset
            firstEnd = found.nextPosition
        }

        var end = size
        if let limitOffset, let limit {
            switch limit {
            case .exact(let exact, _, _): end = exact
            case .search(let search):
                let from = try Segment.finish(search, offset: limitOffset, baseOffset: file.baseOffset)
                if let found = try Segment.batch(at: limitOffset, in: file.file, from..<size) {
                    end = found.position
                }
            }
        }
        guard end > position else { return .slice(nothing) }
        var length = min(end - position, Int64(max(0, maxBytes)))
        if minOneBatch { length = max(length, firstEnd - position) }
        return .slice(
            LogSlice(
                file: file, position: position, length: Int(length), firstBatchBaseOffset: baseOffset,
                followingOffset: following))
    }
}
