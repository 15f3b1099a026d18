import HistoryChecker

/// Reads partitions as a consumer at one isolation level does.
final class Reader: Client {
    private let isolation: IsolationLevel
    private let partitions: [TopicPartition]

    init(_ world: World, _ number: Int, _ partitions: [TopicPartition], _ isolation: IsolationLevel) {
        self.partitions = partitions
        self.isolation = isolation
        super.init(world, "reader-\(number)", number)
    }

    func start() {
        for partition in partitions {
            world.history.record("\(name)-\(partition)", .position(.set(partition, offset: 0)))
            go(on: partition, from: 0)
        }
    }

    private func go(on partition: TopicPartition, from offset: Int64) {
        guard !isStopping else { return }
        fetch(partition, from: offset, isolation) { [self] fetched in
            if let fetched, !fetched.records.isEmpty {
                world.count("read", fetched.records.count)
                world.history.record(
                    "\(name)-\(partition)",
                    .poll(
                        Poll(
                            isolation,
                            fetched.records.map {
                                HistoryChecker.Record(partition, offset: $0.offset, value: .number($0.value))
                            })))
            }
            let next = fetched?.next ?? offset
            timeline.after(fetched == nil ? timeline.between(50, 300) : timeline.between(0, 50), "consume") { [self] in
                go(on: partition, from: next)
            }
        }
    }

    // MARK: The end

    /// Reads the partitions whole, for the history.
    func readAll(_ completion: @escaping () -> Void) {
        readAll(partitions[...], completion)
    }

    private func readAll(_ rest: ArraySlice<TopicPartition>, _ completion: @escaping () -> Void) {
        guard let partition = rest.first else { return completion() }
        readAll(partition, from: 0, []) { [self] in readAll(rest.dropFirst(), completion) }
    }

    private func readAll(
        _ partition: TopicPartition, from offset: Int64, _ before: [FinalRead.Entry], _ completion: @escaping () -> Void
    ) {
        fetch(partition, from: offset, isolation) { [self] fetched in
            let entries =
                before + (fetched?.records ?? []).map { FinalRead.Entry(offset: $0.offset, value: .number($0.value)) }
            if let fetched, fetched.next >= fetched.highWatermark {
                world.history.record(
                    "final", .finalRead(FinalRead(partition, entries, endOffset: fetched.highWatermark)))
                return completion()
            }
            timeline.after(.milliseconds(10), "read-all") { [self] in
                readAll(partition, from: fetched?.next ?? offset, entries, completion)
            }
        }
    }
}
