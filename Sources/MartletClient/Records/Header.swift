/// A key and value attached to a record.
public struct Header: Hashable, Sendable {
    /// What it says; several headers of a record may have the same key.
    public var key: String
    /// nil: no value, which is not the same as an empty one.
    public var value: [UInt8]?

    /// A header with the bytes `value`.
    public init(key: String, value: [UInt8]?) {
        self.key = key
        self.value = value
    }

    /// A header with a text.
    public init(key: String, text: String) {
        self.init(key: key, value: Array(text.utf8))
    }
}
