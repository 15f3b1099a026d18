import Broker
import ClusterMetadata
import CommitLog
import Foundation

/// Where a node keeps its data: the system's disk, or what a test gives it.
package struct NodeStorage: Sendable {
    package var fileSystem: any FileSystem
    /// The data folder.
    package var path: String
    /// Makes the folder's parents, where the file system has some.
    var prepare: @Sendable (_ path: String) throws(NodeError) -> Void
    /// The embedded node's metadata.
    var openMetadata: @Sendable (_ path: String) throws(MetadataStoreError) -> any MetadataStore
    /// Another one after the machine went down, and with it the page cache.
    var machineLife: @Sendable () -> String = { NodeStorage.bootId }

    /// The kernel's name for the time since it was started; another one each time it is asked where there is none.
    private static var bootId: String {
        do {
            return try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
                .trimmingCharacters(in: .whitespacesAndNewlines)
        } catch {
            return UUID().uuidString
        }
    }

    /// A folder of the system, with the metadata beside the logs.
    package static func disk(_ path: String) -> NodeStorage {
        // Clients and logs are told of a path that means something elsewhere too.
        NodeStorage(fileSystem: RealFileSystem(), path: URL(fileURLWithPath: path).path) { path throws(NodeError) in
            do {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            } catch {
                throw NodeError("cannot make the data folder \(path): \(error.localizedDescription)")
            }
        } openMetadata: { path throws(MetadataStoreError) in
            try SQLiteMetadataStore(path: path + "/metadata.sqlite")
        }
    }

    /// A file system and a store in memory, which the caller keeps over restarts.
    package static func memory(_ fileSystem: SimulatedFileSystem, _ metadata: MemoryMetadataStore) -> NodeStorage {
        NodeStorage(fileSystem: fileSystem, path: "data") { _ throws(NodeError) in
        } openMetadata: { _ throws(MetadataStoreError) in
            metadata
        }
    }
}
