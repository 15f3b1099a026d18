/// Where the cluster's metadata is kept: versioned keys that change together or not at all, entries that vanish with
/// the session of the node that put them, and news of every change. The embedded node keeps them in its data folder, a
/// cluster in etcd; nothing above this interface knows how.
///
/// Calls wait for the store, so they come from threads that may wait.
package protocol MetadataStore: Sendable {
    /// Every entry there is, all as of one revision.
    func snapshot() throws(MetadataStoreError) -> MetadataSnapshot

    /// Applies the transaction if all its conditions hold, durably, before it returns the revision that it made.
    @discardableResult
    func commit(_ transaction: MetadataTransaction) throws(MetadataStoreError) -> Int64

    /// Tells every change after the revision, in order and once, on a thread of the store's, until `close`. At most one
    /// observer at a time; another call replaces it. A store that only this process writes has no news to tell.
    func observe(after revision: Int64, _ observer: @escaping @Sendable (MetadataNews) -> Void)

    /// Begins the session that this node's ephemeral entries live in, and keeps it alive until `close`; one that ended
    /// is replaced. It ends when the store has not heard of this node for so long.
    func openSession(timeoutMilliseconds: Int64) throws(MetadataStoreError)

    /// Ends the session, if there is one, and with it the ephemeral entries.
    func close()
}

package struct MetadataSnapshot: Sendable {
    package var entries: [MetadataEntry]
    package var revision: Int64

    package init(entries: [MetadataEntry], revision: Int64) {
        self.entries = entries
        self.revision = revision
    }
}

package struct MetadataEntry: Sendable, Equatable {
    package var key: String
    package var value: [UInt8]
    /// 1 for a new key, one more with each change.
    package var version: Int64
    /// The store's revision when the entry was last changed; 0 where only this process changes the store.
    package var revision: Int64

    package init(key: String, value: [UInt8], version: Int64, revision: Int64 = 0) {
        self.key = key
        self.value = value
        self.version = version
        self.revision = revision
    }
}

/// What an observer is told.
package enum MetadataNews: Sendable {
    /// What one transaction changed.
    case changed([MetadataChange], revision: Int64)
    /// Changes were missed and cannot be had any more: read a snapshot and observe from there.
    case historyLost
    /// The session ended while the node lived: its ephemeral entries are gone, or will be.
    case sessionEnded
    /// The store does not answer; the text says why. What is known stays known, nothing can be changed.
    case unavailable(String)
    /// The store answers again.
    case available
}

package enum MetadataChange: Sendable {
    case put(MetadataEntry)
    case deleted(key: String)
}

package struct MetadataTransaction: Sendable {
    package struct Condition: Sendable, Equatable {
        package var key: String
        /// The version that the key must have; 0 when it must not be there.
        package var version: Int64
    }

    package struct Put: Sendable {
        package var key: String
        package var value: [UInt8]
        /// Whether the entry ends with this node's session.
        package var isEphemeral: Bool
    }

    package var conditions: [Condition] = []
    package var puts: [Put] = []
    package var deletes: [String] = []

    package init() {}

    package mutating func require(_ key: String, version: Int64) {
        conditions.append(Condition(key: key, version: version))
    }

    package mutating func put(_ key: String, _ value: [UInt8], isEphemeral: Bool = false) {
        puts.append(Put(key: key, value: value, isEphemeral: isEphemeral))
    }

    package mutating func delete(_ key: String) {
        deletes.append(key)
    }
}

package enum MetadataStoreError: Error, Sendable, CustomStringConvertible {
    /// Somebody else changed the key first; nothing of the transaction happened.
    case conflict(key: String)
    /// The store cannot be read or written; the text is its own. Nothing of the transaction happened.
    case unavailable(String)
    /// The store did not answer: the transaction may have happened, now or later.
    case unknownOutcome(String)
    /// An ephemeral entry was put while there was no session; nothing of the transaction happened.
    case noSession
    /// An entry does not have the form that this build writes.
    case corrupt(key: String, reason: String)

    package var description: String {
        switch self {
        case .conflict(let key): "metadata '\(key)' was changed by another"
        case .unavailable(let reason): "the metadata cannot be read or written: \(reason)"
        case .unknownOutcome(let reason): "it is not known whether the metadata was changed: \(reason)"
        case .noSession: "this node has no session with the metadata store"
        case .corrupt(let key, let reason): "metadata '\(key)' is damaged: \(reason)"
        }
    }
}
