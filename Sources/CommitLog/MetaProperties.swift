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
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// Kafka writes ids as URL-safe base64 without padding.
    static func encode(topicId: [UInt8]) -> [UInt8] {
        precondition(topicId.count == 16)
        var text = Array("version: 0\ntopic_id: ".utf8)
        var bits: UInt32 = 0
        var bitCount = 0
        for byte in topicId {
            bits = bits << 8 | UInt32(byte)
            bitCount += 8
            while bitCount >= 6 {
                bitCount -= 6
                text.append(alphabet[Int(bits >> UInt32(bitCount)) & 0x3F])
            }
        }
        if bitCount > 0 { text.append(alphabet[Int(bits << UInt32(6 - bitCount)) & 0x3F]) }
        return text
    }

    /// nil when the bytes are not such a file.
    static func decode(_ bytes: [UInt8]) -> [UInt8]? {
        let prefix = Array("version: 0\ntopic_id: ".utf8)
        guard bytes.starts(with: prefix) else { return nil }
        var id: [UInt8] = []
        var bits: UInt32 = 0
        var bitCount = 0
        for character in bytes[prefix.count...] where character != UInt8(ascii: "\n") {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            bits = bits << 6 | UInt32(value)
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                id.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
            }
        }
        return id.count == 16 ? id : nil
    }
}
