import Configuration

/// The limits that the data path looks at, read from the configuration once.
package struct BrokerLimits: Sendable {
    package let requestBytes: Int
    /// Of all connections together.
    package let incompleteRequestBytes: Int
    package let queuedRequests: Int
    package let queuedResponseBytes: Int
    package let fetchBytes: Int
    package let decompressedBatchBytes: Int
    package let connections: Int
    package let connectionsPerAddress: Int
    package let idleMilliseconds: Int64
    /// Whether consumers are sent to a replica in their rack (KIP-392).
    package let selectsReplicaByRack: Bool

    init(_ configuration: BrokerConfiguration) {
        requestBytes = configuration.int("socket.request.max.bytes")
        let incomplete = configuration.int("queued.max.request.bytes")
        incompleteRequestBytes = incomplete < 0 ? Int.max : incomplete
        queuedRequests = configuration.int("queued.max.requests")
        queuedResponseBytes = configuration.int("queued.max.response.bytes")
        // A reply's length is 32 bits wide.
        fetchBytes = min(configuration.int("fetch.max.bytes"), 1 << 30)
        decompressedBatchBytes = configuration.int("max.decompressed.batch.bytes")
        connections = configuration.int("max.connections")
        connectionsPerAddress = configuration.int("max.connections.per.ip")
        selectsReplicaByRack =
            configuration.optional("replica.selector.class")?.hasSuffix("RackAwareReplicaSelector") ?? false
        idleMilliseconds = configuration.long("connections.max.idle.ms")
    }
}
