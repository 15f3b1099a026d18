/// What a topic may be called.
package enum TopicName {
    package static let maximumLength = 249

    /// What is wrong with the name, or nil.
    package static func objection(to name: String) -> String? {
        if name.isEmpty { return "a topic name cannot be empty" }
        if name == "." || name == ".." { return "a topic cannot be named '\(name)'" }
        if name.utf8.count > maximumLength {
            return "a topic name has \(maximumLength) characters at most, this one \(name.utf8.count)"
        }
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                continue
            default:
                return "a topic name holds letters, digits, '.', '_' and '-' of ASCII only"
            }
        }
        return nil
    }

    /// Names that differ in '.' and '_' only are the same metric name, so Kafka keeps them apart.
    package static func collisionKey(_ name: String) -> String {
        String(name.map { $0 == "." ? "_" : $0 })
    }
}
