import Configuration
import Logging

/// How a broker for tests is set up. The defaults suit most tests.
public struct BrokerTestConfiguration: Sendable {
    /// Where a broker keeps its data. Either way the data is gone when the test ends.
    public enum Storage: Sendable, Hashable {
        /// A simulated disk in memory, the fastest. It can lose power: see `TestBroker.crash(_:)`. The seed decides what
        /// of the unsynchronized bytes is lost then.
        case memory(seed: UInt64 = 1)
        /// A folder of its own below the system's folder for temporary files, with the node's real files in it.
        case temporaryFolder
    }

    /// Where the data is.
    public var storage: Storage
    /// Broker settings by Kafka's names, over `defaultSettings`. All that `martlet server --help-configs` lists may be
    /// set, but for those that the test decides itself: `listeners`, `advertised.listeners`, `log.dir`, `log.dirs` and
    /// `metrics.listener`.
    public var settings: [String: String]
    /// Where the broker logs to; nil for nowhere.
    public var logger: Logger?

    /// What a test wants otherwise than a server: groups that begin without waiting for further members, one partition
    /// in each of the broker's own topics, one thread for all connections, and small memory for compaction.
    public static let defaultSettings = [
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.num.partitions": "1",
        "num.network.threads": "1",
        "num.recovery.threads.per.data.dir": "1",
        "log.cleaner.dedupe.buffer.size": "1048576",
    ]

    /// The settings that cannot be chosen, because the test's broker depends on them.
    static let reserved = ["listeners", "advertised.listeners", "log.dir", "log.dirs", "metrics.listener"]

    /// A configuration; with no arguments a broker in memory.
    public init(storage: Storage = .memory(), settings: [String: String] = [:], logger: Logger? = nil) {
        self.storage = storage
        self.settings = settings
        self.logger = logger
    }

    /// The broker's configuration, for a listener at this port.
    func brokerConfiguration(port: Int) throws(TestBrokerError) -> BrokerConfiguration {
        for name in Self.reserved where settings[name] != nil {
            throw TestBrokerError(.invalidSetting, "\(name): the test's broker chooses it itself")
        }
        var all = Self.defaultSettings.merging(settings) { $1 }
        all["listeners"] = "PLAINTEXT://127.0.0.1:\(port)"
        do {
            return try BrokerConfiguration(
                propertiesText: nil, overrides: all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
        } catch {
            throw TestBrokerError(.invalidSetting, error.description)
        }
    }
}
