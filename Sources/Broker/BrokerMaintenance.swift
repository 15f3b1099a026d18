import CommitLog
import Logging

/// The work that logs need from time to time, on a thread of its own: retention, compaction, checkpoints.
package final class BrokerMaintenance: Sendable {
    private let broker: Broker
    private let thread = ControlThread(label: "martlet.maintenance")
    /// How long files that were removed are looked for at the most.
    private static let deletionInterval: Int64 = 10_000
    private static let producerExpirationInterval: Int64 = 600_000

    package init(_ broker: Broker) {
        self.broker = broker
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
    }

    package func stop() {
        thread.stop()
    }

    private func repeatedly(_ configuration: String, _ work: @escaping @Sendable (BrokerMaintenance) throws -> Void) {
        repeatedly(every: broker.configuration.long(configuration), work)
    }

    private func repeatedly(every interval: Int64, _ work: @escaping @Sendable (BrokerMaintenance) throws -> Void) {
        thread.schedule(afterMilliseconds: max(1, interval)) { [self] in
            do {
                try work(self)
            } catch {
                broker.logger.error("log.maintenance-failed", metadata: ["error": "\(error)"])
            }
            repeatedly(every: interval, work)
        }
    }

    private func applyRetention() throws {
        let now = broker.clock.wallMilliseconds
        for log in broker.logs.allLogs {
            let result = try log.applyRetention(now: now)
            guard result.deletedSegments > 0 else { continue }
            broker.logger.info(
                "log.retention",
                metadata: ["partition": "\(log.name)", "segments": "\(result.deletedSegments)", "start": "\(log.startOffset)"])
        }
    }

    /// Bounds the work of a recovery: what is on stable storage by now need not be read again.
    private func checkpoint() throws {
        let now = broker.clock.wallMilliseconds
        for log in broker.logs.allLogs where log.endOffset > log.durableOffset {
            try log.sync(now: now)
        }
        try broker.logs.writeCheckpoints()
    }
}
