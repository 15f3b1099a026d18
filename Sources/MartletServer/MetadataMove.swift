import Broker
import ClusterMetadata
import CommitLog
import Configuration
import EtcdMetadata
import Logging

/// Takes an embedded node's metadata to etcd.
package enum MetadataMove {
    /// Returns how many entries were moved. The data folder is locked meanwhile, and not changed.
    package static func toEtcd(_ configuration: BrokerConfiguration, logger: Logger) async throws -> Int {
        let path = configuration.dataDirectory
        let moved: Result<Int, NodeError> = await Node.outsideTasks {
            do {
                let fileSystem = RealFileSystem()
                guard try fileSystem.status(of: path + "/metadata.sqlite") != nil else {
                    throw NodeError("there is no embedded node's metadata in \(path)")
                }
                guard let lock = try fileSystem.lock(path + "/.lock") else {
                    throw NodeError("\(path) is in use: stop the node first")
                }
                defer { withExtendedLifetime(lock) {} }
                let source = try SQLiteMetadataStore(path: path + "/metadata.sqlite")
                defer { source.close() }
                let target = try EtcdMetadataStore(EtcdConfiguration(configuration, logger))
                defer { target.close() }
                return .success(try MetadataMigration.copy(from: source, to: target))
            } catch let error as NodeError {
                return .failure(error)
            } catch MetadataStoreError.conflict {
                return .failure(
                    NodeError(
                        "etcd has a cluster under '\(configuration.string("etcd.prefix"))' already; "
                            + "name another one with --set etcd.prefix=NAME/"))
            } catch {
                return .failure(NodeError("the metadata was not moved: \(error)"))
            }
        }
        return try moved.get()
    }
}
