import CommitLog
import Logging

/// The work that logs need from time to time, on a thread of its own: retention, compaction, checkpoints.
package final class BrokerMaintenance: Sendable {
    private let broker: Broker
    private let thread: any WorkQueue
    /// Compaction takes long; it must not hold up the rest.
    private let cleanerThread: any WorkQueue
    /// How long files that were removed are looked for at the most.
    private static let deletionInterval: Int64 = 10_000
    private static let producerExpirationInterval: Int64 = 600_000
    private static let flushInterval: Int64 = 1000

    package init(_ broker: Broker) {
        self.broker = broker
        thread = broker.environment.makeQueue("martlet.maintenance")
        cleanerThread = broker.environment.makeQueue("martlet.cleaner")
    }

    package func start() {
        repeatedly("log.retention.check.interval.ms") { try $0.applyRetention() }
        repeatedly("log.flush.offset.checkpoint.interval.ms") { try $0.checkpoint() }
        repeatedly(every: BrokerMaintenance.deletionInterval) { maintenance in
            try maintenance.broker.logs.deletePending(now: maintenance.broker.clock.wallMilliseconds)
        }
        repeatedly(every: BrokerMaintenance.producerExpirationInterval) { maintenance in
            let now = maintenance.broker.clock.wallMilliseconds
            for log in maintenance.broker.logs.allLogs { log.expireProducers(now: now) }
        }
        repeatedly(every: BrokerMaintenance.flushInterval) { maintenance in
            let now = maintenance.broker.clock.wallMilliseconds
            for leader in maintenance.broker.partitions.leaders { leader.flushIfDue(now: now) }
        }
        if broker.configuration.bool("log.cleaner.enable") { scheduleCleaning() }
    }

    package func stop() {
        thread.stop()
        cleanerThread.stop()
    }

    // MARK: Compaction

    private func scheduleCleaning() {
        cleanerThread.schedule(afterMilliseconds: max(1, broker.configuration.long("log.cleaner.backoff.ms"))) {
            [self] in
            compact()
            scheduleCleaning()
        }
    }

    private func compact() {
        let throttle = IOThrottle(bytesPerSecond: broker.configuration.double("log.cleaner.io.max.bytes.per.second"))
        // Made for each round: between them nothing of its memory is kept.
        var cleaner: LogCleaner?
        let compacted = broker.logs.allLogs.filter { $0.currentConfiguration.cleanupPolicy.contains(.compact) }
        if compacted.contains(where: \.awaitsCheckpoint) { attempt { try checkpoint() } }
        for log in compacted {
            if cleanerThread.isStopping { return }
            let made =
                cleaner
                ?? LogCleaner(
                    offsetMapBytes: broker.configuration.int("log.cleaner.dedupe.buffer.size"),
                    throttle: { [self] in if !cleanerThread.isStopping { throttle.wait($0) } })
            cleaner = made
            do {
                guard let result = try made.clean(log, now: broker.clock.wallMilliseconds) else { continue }
                broker.logger.info(
                    "log.compacted",
                    metadata: [
                        "partition": "\(log.name)", "bytes.before": "\(result.bytesBefore)",
                        "bytes.after": "\(result.bytesAfter)", "records.before": "\(result.recordsBefore)",
                        "records.after": "\(result.recordsAfter)",
                    ])
            } catch {
                broker.logger.error("log.not-compacted", metadata: ["partition": "\(log.name)", "error": "\(error)"])
            }
        }
    }

    // MARK: Repeated work

    private func repeatedly(_ configuration: String, _ work: @escaping @Sendable (BrokerMaintenance) throws -> Void) {
        repeatedly(every: broker.configuration.long(configuration), work)
    }

    private func repeatedly(every interval: Int64, _ work: @escaping @Sendable (BrokerMaintenance) throws -> Void) {
        thread.schedule(afterMilliseconds: max(1, interval)) { [self] in
            attempt { try work(self) }
            repeatedly(every: interval, work)
        }
    }

    private func attempt(_ work: () throws -> Void) {
        do {
            try work()
        } catch {
            broker.logger.error("log.maintenance-failed", metadata: ["error": "\(error)"])
        }
    }

    private func applyRetention() throws {
        let now = broker.clock.wallMilliseconds
        forEachLog { log in
            let result = try log.applyRetention(now: now)
            guard result.deletedSegments > 0 else { return }
            broker.logger.info(
                "log.retention",
                metadata: [
                    "partition": "\(log.name)", "segments": "\(result.deletedSegments)", "start": "\(log.startOffset)",
                ])
        }
    }

    /// One log's failure, or its deletion meanwhile, is not the others'.
    private func forEachLog(_ body: (Log) throws -> Void) {
        for log in broker.logs.allLogs {
            do {
                try body(log)
            } catch LogError.closed {
                continue
            } catch {
                broker.logger.error(
                    "log.maintenance-failed", metadata: ["partition": "\(log.name)", "error": "\(error)"])
            }
        }
    }

    /// Bounds the work of a recovery: segments that are closed and on stable storage need not be read again.
    private func checkpoint() throws {
        let now = broker.clock.wallMilliseconds
        forEachLog { log in
            if log.hasUnsynchronizedSegments { try log.sync(now: now) }
        }
        try broker.logs.writeCheckpoints()
    }
}
