/// Where the cluster's metadata is kept: versioned keys that change together or not at all. The embedded node keeps
/// them in its data folder; nothing above this interface knows how.
package protocol MetadataStore: Sendable {
    /// Every entry there is.
    func entries() throws(MetadataStoreError) -> [MetadataEntry]

    /// Applies the transaction if all its conditions hold, durably, before it returns.
    func commit(_ transaction: MetadataTransaction) throws(MetadataStoreError)

    func close()
}

package struct MetadataEntry: Sendable, Equatable {
    package var key: String
    package var value: [UInt8]
    /// 1 for a new key, one more with each change.
    package var version: Int64

    package init(key: String, value: [UInt8], version: Int64) {
        self.key = key
        self.value = value
        self.version = version
    }
}

package struct MetadataTransaction: Sendable {
    package struct Condition: Sendable, Equatable {
        package var key: String
        /// The version that the key must have; 0 when it must not be there.
        package var version: Int64
    }

    package var conditions: [Condition] = []
    package var puts: [(key: String, value: [UInt8])] = []
    package var deletes: [String] = []

    package init() {}

    package mutating func require(_ key: String, version: Int64) {
        conditions.append(Condition(key: key, version: version))
    }

    package mutating func put(_ key: String, _ value: [UInt8]) {
        puts.append((key, value))
    }
}

package enum MetadataStoreError: Error, Sendable, CustomStringConvertible {
    /// Somebody else changed the key first.
    case conflict(key: String)
    /// The store cannot be read or written; the text is its own.
    case unavailable(String)
    /// An entry does not have the form that this build writes.
    case corrupt(key: String, reason: String)

    package var description: String {
        switch self {
        case .conflict(let key): "metadata '\(key)' was changed by another"
        case .unavailable(let reason): "the metadata cannot be read or written: \(reason)"
        case .corrupt(let key, let reason): "metadata '\(key)' is damaged: \(reason)"
        }
    }
}
