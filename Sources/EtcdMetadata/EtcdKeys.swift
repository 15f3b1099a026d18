import ClusterMetadata
import Foundation

/// The prefix before all keys in etcd, and the way from a key to its name there and back.
struct EtcdKeys: Sendable {
    let prefix: String

    func bytes(_ key: String) -> Data { Data((prefix + key).utf8) }

    /// Where the range of all keys begins and what it ends before. Without a prefix that is all of etcd, which a zero
    /// byte stands for in both places.
    var first: Data { prefix.isEmpty ? Data([0]) : Data(prefix.utf8) }

    var end: Data {
        // UTF-8 has no byte 255, so one more is always a byte.
        var bytes = Data(prefix.utf8)
        guard let last = bytes.popLast() else { return Data([0]) }
        return bytes + [last + 1]
    }

    func name(_ bytes: Data) -> String {
        String(decoding: bytes.dropFirst(prefix.utf8.count), as: UTF8.self)
    }

    func entry(_ value: Mvccpb_KeyValue) -> MetadataEntry {
        MetadataEntry(
            key: name(value.key), value: [UInt8](value.value), version: value.version, revision: value.modRevision)
    }
}
