import Configuration
import KafkaProtocol
import Synchronization

/// The metadata as this node knows it: an image in memory that requests are answered from, kept in step with the store.
///
/// A change goes to the store first, durably, and then into the image. Changes that other nodes make come as news and
/// may come later than what this node has changed since, so each entry only ever goes forward.
///
/// Changes block on the store, so they come from the control thread; reading the image is cheap and may come from
/// anywhere.
package final class ClusterState: Sendable {
    package let nodeId: Int32
    private let store: any MetadataStore
    private let state: Mutex<State>
    /// Held by who changes the image: entries are read and decoded outside `state`, which event loops wait for.
    private let changing = Mutex(())

    fileprivate struct State: Sendable {
        var image: MetadataImage
        /// The store's revision of each entry's last change that is in the image, also of entries that are deleted.
        var revisions: [String: Int64] = [:]
        /// Up to where the news were taken in.
        var observed: Int64
    }

    /// Producer ids are handed out in blocks, so that one commit serves a thousand producers.
    private static let producerIdBlock: Int64 = 1000

    /// Reads the store. A new one has no cluster id; `establish` writes down the one that `newClusterId` gives.
    package init(
        store: any MetadataStore, nodeId: Int32, newClusterId: () -> String
    ) throws(MetadataStoreError) {
        self.store = store
        self.nodeId = nodeId
        let snapshot = try store.snapshot()
        var image = MetadataImage()
        var revisions: [String: Int64] = [:]
        for entry in snapshot.entries {
            try image.apply(.put(entry))
            revisions[entry.key] = entry.revision
        }
        if image.clusterId.isEmpty { image.clusterId = newClusterId() }
        state = Mutex(State(image: image, revisions: revisions, observed: snapshot.revision))
    }

    /// Whether the store was never established.
    package var isNew: Bool { image.versions[MetadataKey.cluster] == nil }

    /// Ends the making of a new store. Until then every start begins it again.
    package func establish() throws(MetadataStoreError) {
        var transaction = MetadataTransaction()
        transaction.require(MetadataKey.cluster, version: 0)
        transaction.put(MetadataKey.cluster, encodeEntry(ClusterEntry(clusterId: image.clusterId)))
        try commit(transaction)
    }

    package var image: MetadataImage {
        state.withLock { $0.image }
    }

    package func close() {
        store.close()
    }

    // MARK: Changes

    /// Stores a change, and takes it over into the image.
    package func commit(_ transaction: MetadataTransaction) throws(MetadataStoreError) {
        let revision = try store.commit(transaction)
        let required = Dictionary(
            transaction.conditions.map { ($0.key, $0.version) }, uniquingKeysWith: { first, _ in first })
        var failure: MetadataStoreError?
        change { state in
            for key in transaction.deletes { failure = state.take(.deleted(key: key), revision) ?? failure }
            for put in transaction.puts {
                let version = (required[put.key] ?? state.image.versions[put.key] ?? 0) + 1
                let entry = MetadataEntry(key: put.key, value: put.value, version: version, revision: revision)
                failure = state.take(.put(entry), revision) ?? failure
            }
        }
        if let failure { throw failure }
    }

    /// The embedded node's own registration, which no store needs to know.
    package func register(_ registration: BrokerRegistration) {
        change { state in
            state.image.brokers[registration.nodeId] = registration
            state.image.controllerId = registration.nodeId
        }
    }

    private func change(_ body: (inout State) -> Void) {
        changing.withLock { _ in
            var changed = state.withLock { $0 }
            body(&changed)
            let result = changed
            state.withLock { $0 = result }
        }
    }

    // MARK: News

    /// Has changes by others reported, from what the image has on.
    package func observe(_ observer: @escaping @Sendable (MetadataNews) -> Void) {
        store.observe(after: state.withLock { $0.observed }, observer)
    }

    /// The revision of the store up to which the news were taken in.
    package var observedRevision: Int64 { state.withLock { $0.observed } }

    /// Takes over what one transaction changed.
    package func apply(_ changes: [MetadataChange], revision: Int64) throws(MetadataStoreError) {
        var failure: MetadataStoreError?
        change { state in
            for change in changes {
                failure = state.take(change, revision) ?? failure
                // News come in order: nothing older of this entry can follow.
                if case .deleted(let key) = change, state.revisions[key] == revision { state.revisions[key] = nil }
            }
            state.observed = max(state.observed, revision)
        }
        if let failure { throw failure }
    }

    /// After history was lost: everything anew.
    package func reload() throws(MetadataStoreError) {
        let snapshot = try store.snapshot()
        var failure: MetadataStoreError?
        change { state in
            let present = Set(snapshot.entries.map(\.key))
            for key in state.image.versions.keys where !present.contains(key) {
                failure = state.take(.deleted(key: key), snapshot.revision) ?? failure
            }
            for entry in snapshot.entries { failure = state.take(.put(entry), entry.revision) ?? failure }
            state.observed = snapshot.revision
        }
        if let failure { throw failure }
    }

    package func openSession(timeoutMilliseconds: Int64) throws(MetadataStoreError) {
        try store.openSession(timeoutMilliseconds: timeoutMilliseconds)
    }

    // MARK: Producer ids

    /// A block of producer ids that nobody else will get, none below `minimum`.
    package func allocateProducerIds(from minimum: Int64 = 0) throws(MetadataStoreError) -> Range<Int64> {
        while true {
            var next: Int64 = 0
            var version: Int64 = 0
            for entry in try store.snapshot().entries where entry.key == MetadataKey.producerIds {
                next = try entry.decoded(as: ProducerIdsEntry.self).next
                version = entry.version
            }
            next = max(next, minimum)
            let block = next..<(next + ClusterState.producerIdBlock)
            var transaction = MetadataTransaction()
            transaction.require(MetadataKey.producerIds, version: version)
            transaction.put(MetadataKey.producerIds, encodeEntry(ProducerIdsEntry(next: block.upperBound)))
            do {
                try commit(transaction)
                return block
            } catch .conflict {
                // Another node took the block.
                continue
            }
        }
    }
}

extension ClusterState.State {
    /// Takes over a change, unless the image has a later one of the entry.
    fileprivate mutating func take(_ change: MetadataChange, _ revision: Int64) -> MetadataStoreError? {
        let key =
            switch change {
            case .put(let entry): entry.key
            case .deleted(let key): key
            }
        // Revision 0: only this process changes the store, in order.
        guard revision == 0 || revision > revisions[key] ?? 0 else { return nil }
        do throws(MetadataStoreError) {
            try image.apply(change)
        } catch {
            return error
        }
        revisions[key] = revision
        return nil
    }
}

// MARK: What the changes look like in the store

extension MetadataTransaction {
    /// Only the controller of this epoch changes topics, nodes and configurations. An embedded node is its own.
    package mutating func requireController(_ image: MetadataImage) {
        if let version = image.versions[MetadataKey.controllerEpoch] {
            require(MetadataKey.controllerEpoch, version: version)
        }
    }

    /// Puts a topic in place of what the image has under its name.
    package mutating func put(_ topic: TopicMetadata, over image: MetadataImage) {
        let key = MetadataKey.topic(topic.name)
        require(key, version: image.versions[key] ?? 0)
        put(key, topic.entry)
    }

    package mutating func deleteTopic(named name: String, from image: MetadataImage) {
        let key = MetadataKey.topic(name)
        require(key, version: image.versions[key] ?? 0)
        delete(key)
    }

    package mutating func put(_ values: ConfigurationValues, ofBroker nodeId: Int32?, over image: MetadataImage) {
        let key = MetadataKey.brokerConfiguration(nodeId)
        require(key, version: image.versions[key] ?? 0)
        put(key, encodeEntry(values.explicit))
    }

    package mutating func put(_ record: NodeRecord, ofNode nodeId: Int32, over image: MetadataImage) {
        let key = MetadataKey.node(nodeId)
        require(key, version: image.versions[key] ?? 0)
        put(key, encodeEntry(record))
    }

    package mutating func deleteNode(_ nodeId: Int32, from image: MetadataImage) {
        let key = MetadataKey.node(nodeId)
        require(key, version: image.versions[key] ?? 0)
        delete(key)
    }

    /// This node is there. The entry ends with its session.
    package mutating func put(_ registration: BrokerRegistration, over image: MetadataImage) {
        let key = MetadataKey.broker(registration.nodeId)
        require(key, version: image.versions[key] ?? 0)
        put(
            key,
            encodeEntry(
                BrokerEntry(
                    incarnation: registration.incarnation, endpoints: registration.endpoints, rack: registration.rack,
                    isShuttingDown: registration.isShuttingDown)),
            isEphemeral: true)
    }

    /// There is no controller any more.
    package mutating func endController(over image: MetadataImage) {
        require(MetadataKey.controller, version: image.versions[MetadataKey.controller] ?? 0)
        delete(MetadataKey.controller)
    }

    /// This node becomes the controller, if there is none, under an epoch of its own.
    package mutating func becomeController(_ nodeId: Int32, over image: MetadataImage) {
        require(MetadataKey.controller, version: 0)
        require(MetadataKey.controllerEpoch, version: image.versions[MetadataKey.controllerEpoch] ?? 0)
        let entry = encodeEntry(ControllerEntry(nodeId: nodeId))
        put(MetadataKey.controller, entry, isEphemeral: true)
        put(MetadataKey.controllerEpoch, entry)
    }
}
