import ArgumentParser
import Configuration
import Foundation
import Logging
import MartletServer

struct ClusterMigrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Move an embedded node's metadata to etcd, so that it becomes the first node of a cluster.",
        discussion: """
            The node must be stopped, and etcd must not know a cluster under the prefix. The data folder stays as it is; \
            afterwards the node is started with metadata.store=etcd, and others can join.

              martlet cluster migrate --data ./data --set etcd.endpoints=http://10.0.0.1:2379
              martlet server --data ./data --set metadata.store=etcd --set etcd.endpoints=http://10.0.0.1:2379
            """)

    @Option(name: [.customShort("c"), .long], help: "A properties file with the node's configuration.")
    var config: String?

    @Option(name: [.customShort("s"), .customLong("set")], help: "A configuration, name=value; may be repeated.")
    var overrides: [String] = []

    @Option(name: .shortAndLong, help: "The folder of the data, the same as --set log.dirs=FOLDER.")
    var data: String?

    func run() async throws {
        let configuration = try NodeConfiguration.read(file: config, overrides: overrides, data: data, listen: nil)
        let logger = Logger(label: "martlet") { StreamLogHandler.standardError(label: $0) }
        let count = try await MetadataMove.toEtcd(configuration, logger: logger)
        print("Moved \(count) entries to etcd. Start the node with --set metadata.store=etcd.")
    }
}
