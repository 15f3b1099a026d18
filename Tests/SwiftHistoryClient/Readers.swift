import MartletClient
import Synchronization

extension LoadContext {
    /// Writes down what a call has brought.
    func saw(_ batches: [ConsumerBatch], _ process: String, since: UInt64, isolation: String) throws {
        guard !batches.isEmpty else { return }
        var event = HistoryEvent("poll", process)
        event.isolation = isolation
        event.records = batches.flatMap { batch in
            batch.map { record in
                SeenRecord(
                    topic: record.topic, partition: record.partition, offset: record.offset,
                    value: record.value?.string ?? "")
            }
        }
        try recorder.saw(event, since: since)
        note { $0.seen += event.records!.count }
    }

    func listener(_ process: String) -> Listening {
        Listening { [self] kind, partitions in
            var event = HistoryEvent(kind == .assigned ? "assigned" : "revoked", process)
            event.partitions = partitions.map(Place.init)
            do {
                try recorder.saw(event)
            } catch {
                fail(error)
            }
        }
    }
}

/// Reads as a member of a group, commits now and then, and leaves and comes again now and then under another name.
final class GroupReader: LoadClient {
    let common: LoadContext
    let group: GroupProgress
    let membership: Membership
    /// Leaves the commits to the consumer.
    let isAutomatic: Bool

    init(_ common: LoadContext, group: GroupProgress, membership: Membership, isAutomatic: Bool) {
        self.common = common
        self.group = group
        self.membership = membership
        self.isAutomatic = isAutomatic
    }

    func run() async throws {
        var life = 1
        while !common.isStopping {
            try await live(process: "\(common.name).\(life)")
            life += 1
            common.note { $0.lives = life }
        }
    }

    private func live(process: String) async throws {
        var configuration = try common.connecting.consumer(group: group.name)
        configuration.isolationLevel = .readCommitted
        configuration.isAutoCommitEnabled = isAutomatic
        configuration.autoCommitInterval = .milliseconds(300)
        membership.apply(to: &configuration)
        configuration.rebalanceListener = common.listener(process)
        let consumer = try Consumer(configuration: configuration)
        try consumer.subscribe(to: [common.topic])
        let leavesAt = ContinuousClock.now + common.draw { .random(in: 3...8, using: &$0) }
        while !common.isStopping, ContinuousClock.now < leavesAt {
            let since = HistoryRecorder.now()
            let batches = try await consumer.nextBatches(limit: 5, timeout: .milliseconds(100))
            try common.saw(batches, process, since: since, isolation: "read_committed")
            group.saw(batches)
            common.note { $0.rounds += 1 }
            if !isAutomatic, common.draw({ Double.random(in: 0..<1, using: &$0) < 0.1 }) {
                try await commit(consumer, process)
            }
        }
        await consumer.close()
    }

    private func commit(_ consumer: Consumer, _ process: String) async throws {
        let offsets = consumer.positions
        guard !offsets.isEmpty else { return }
        let numbers = try offsets.map { place, consumed in
            var event = HistoryEvent("offset-commit", process, place)
            event.group = group.name
            event.offset = consumed.offset
            return try common.recorder.ask(event)
        }
        do throws(ClientError) {
            try await consumer.commit(offsets)
        } catch {
            guard !error.isFatal, error.isRetriable || error.code == .commitFailed else { throw error }
            // Nobody knows.
            common.note { progress in
                progress.refused += 1
                progress.refusal = "\(error.code): \(error)"
            }
            return
        }
        for number in numbers { try common.recorder.answered(number, .acknowledged) }
        common.note { $0.committed += 1 }
    }
}

/// Which records the members of a group have been given, all together.
final class GroupProgress: Sendable {
    let name: String
    private let seen = Mutex<[Int32: Set<Int64>]>([:])

    init(name: String) {
        self.name = name
    }

    func saw(_ batches: [ConsumerBatch]) {
        seen.withLock { seen in
            for batch in batches {
                for record in batch { seen[batch.partition, default: []].insert(record.offset) }
            }
        }
    }

    var distinct: Int { seen.withLock { $0.values.reduce(0) { $0 + $1.count } } }
}

/// Reads all partitions from their beginning to wherever they are, again and again with a new consumer.
final class PlainReader: LoadClient {
    let common: LoadContext
    let isolation: ConsumerConfiguration.IsolationLevel

    init(_ common: LoadContext, _ isolation: ConsumerConfiguration.IsolationLevel) {
        self.common = common
        self.isolation = isolation
    }

    func run() async throws {
        var life = 1
        while !common.isStopping {
            let process = "\(common.name).\(life)"
            var configuration = try common.connecting.consumer()
            configuration.isolationLevel = isolation
            // Who stands where its leader has nothing was shown records that are not there any more.
            configuration.offsetReset = .none
            let consumer = try Consumer(configuration: configuration)
            try consumer.assign(common.partitions.map { TopicPartition(common.topic, $0) }, from: .beginning)
            let endsAt = ContinuousClock.now + common.draw { .random(in: 5...20, using: &$0) }
            while !common.isStopping, ContinuousClock.now < endsAt {
                let since = HistoryRecorder.now()
                let batches = try await consumer.nextBatches(limit: 20, timeout: .milliseconds(100))
                try common.saw(
                    batches, process, since: since,
                    isolation: isolation == .readCommitted ? "read_committed" : "read_uncommitted")
                common.note { $0.rounds += 1 }
            }
            await consumer.close()
            life += 1
            common.note { $0.lives = life }
        }
    }
}
