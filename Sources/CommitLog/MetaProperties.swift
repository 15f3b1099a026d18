import Glibc

/// `meta.properties`: to which cluster and node a data directory belongs.
package struct MetaProperties: Equatable, Sendable {
    package static let fileName = "meta.properties"

    package var clusterId: String
    package var nodeId: Int32
    /// Lines that other versions wrote and that are kept.
    package var others: [String: String] = [:]

    package init(clusterId: String, nodeId: Int32, others: [String: String] = [:]) {
        self.clusterId = clusterId
        self.nodeId = nodeId
        self.others = others
    }

    package func encode() -> [UInt8] {
        var text = "#\ncluster.id=\(clusterId)\n"
        for (key, value) in others.sorted(by: { $0.key < $1.key }) { text += "\(key)=\(value)\n" }
        text += "node.id=\(nodeId)\nversion=1\n"
        return Array(text.utf8)
    }

    /// nil when the bytes are not such a file. Version 0 names the node `broker.id`.
    package init?(_ bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var values: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            guard let equals = line.firstIndex(of: "=") else { return nil }
            values[String(line[..<equals])] = String(line[line.index(after: equals)...])
        }
        guard let version = values.removeValue(forKey: "version"), version == "0" || version == "1",
            let cluster = values.removeValue(forKey: "cluster.id"),
            let node = (values.removeValue(forKey: version == "0" ? "broker.id" : "node.id")).flatMap({ Int32($0) })
        else { return nil }
        clusterId = cluster
        nodeId = node
        others = values
    }

    /// The properties of a directory that somebody used before; nil when there are none.
    package static func existing(
        in path: String, _ fileSystem: any FileSystem
    ) throws(FileSystemError) -> MetaProperties? {
        guard let bytes = try fileSystem.contents(of: path + "/" + fileName) else { return nil }
        guard let properties = MetaProperties(bytes) else {
            throw FileSystemError(.read, path + "/" + fileName, code: EBADMSG)
        }
        return properties
    }

    /// The directory's properties, written when it has none. A file that is not sound is EBADMSG.
    static func read(_ opening: LogDirectory.Opening) throws(FileSystemError) -> MetaProperties {
        let file = opening.path + "/" + fileName
        guard let bytes = try opening.fileSystem.contents(of: file) else {
            let properties = MetaProperties(clusterId: opening.clusterId, nodeId: opening.nodeId)
            try opening.fileSystem.replaceContents(of: file, with: properties.encode())
            return properties
        }
        guard let properties = MetaProperties(bytes) else { throw FileSystemError(.read, file, code: EBADMSG) }
        return properties
    }
}

/// `partition.metadata`: the id of the topic that a partition's directory belongs to.
enum PartitionMetadata {
    static let fileName = "partition.metadata"
    private static let prefix = "version: 0\ntopic_id: "

    /// `topicId` as Kafka prints it: 22 characters of URL-safe base64.
    static func encode(topicId: String) -> [UInt8] {
        Array((prefix + topicId).utf8)
    }

    /// nil when the bytes are not such a file.
    static func decode(_ bytes: [UInt8]) -> String? {
        guard let text = String(validating: bytes, as: UTF8.self), text.hasPrefix(prefix) else { return nil }
        let id = text.dropFirst(prefix.count).prefix { !$0.isNewline }
        return id.utf8.count == 22 ? String(id) : nil
    }
}
