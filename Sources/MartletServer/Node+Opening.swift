import Broker
import ClusterMetadata
import CommitLog
import Configuration
import KafkaProtocol
import Logging
import NIOCore

extension Node {
    /// Opens what is in the storage, or makes it.
    func makeBroker(_ storage: NodeStorage) throws -> Broker {
        let clock = SystemClock()
        let fileSystem = storage.fileSystem
        let path = storage.path
        let nodeId = configuration.nodeId
        try storage.prepare(path)
        do {
            let before = try MetaProperties.existing(in: path, fileSystem)
            let store = try storage.openMetadata(path)
            let controller = try ClusterController(
                store: store, registration: BrokerRegistration(nodeId: nodeId, host: "", port: -1, rack: nil),
                newClusterId: { before?.clusterId ?? Uuid.random().description })
            let image = controller.image
            let configuration = configuration
            let opening = LogDirectory.Opening(
                path: path, fileSystem: fileSystem, clusterId: image.clusterId, nodeId: nodeId,
                configuration: { name in
                    let topic = image.topic(named: name.topic)
                    return LogConfiguration(
                        TopicConfiguration(topic?.configuration ?? .init(), broker: configuration),
                        isInternal: InternalTopic.names.contains(name.topic), broker: configuration)
                },
                isForeign: controller.isNew, recoveryThreads: recoveryThreads, now: clock.wallMilliseconds)
            let (logs, report) = try LogDirectory.open(opening)
            for entry in report.entries {
                logger.warning(
                    "log.recovered",
                    metadata: [
                        "file": "\(entry.file)", "reason": "\(entry.reason)", "kept.bytes": "\(entry.keptBytes)",
                        "cut.bytes": "\(entry.cutBytes)",
                    ])
            }
            if controller.isNew {
                try LogAdoption.adopt(logs, into: controller, nodeId: nodeId, logger)
                try controller.establish()
            }
            return try Broker(
                Broker.Parts(
                    configuration: configuration, controller: controller, logs: logs, clock: clock, logger: logger))
        } catch let error as NodeError {
            throw error
        } catch {
            throw NodeError("cannot open the data folder \(path): \(Node.explain(error))")
        }
    }

    private var recoveryThreads: Int {
        let configured = configuration.int("num.recovery.threads.per.data.dir")
        return configured > 0 ? configured : System.coreCount
    }

    static func explain(_ error: any Error) -> String {
        guard let error = error as? LogDirectoryError else { return "\(error)" }
        switch error {
        case .locked: return "another process uses it"
        case .belongsElsewhere(let properties):
            return "it belongs to node \(properties.nodeId) of cluster \(properties.clusterId); "
                + "start with --set node.id=\(properties.nodeId) or use another folder"
        case .corruptMetaProperties(let file): return "\(file) is damaged"
        case .fileSystem(let error): return "\(error)"
        case .log(let name, .unsupportedMessageFormat(let file, let magic)):
            return "\(name): \(file) holds messages of format \(magic); only record batches (format 2) are read"
        case .log(let name, .fileSystem(let error)): return "\(name): \(error)"
        case .partitionExists, .offline: return "\(error)"
        }
    }
}
