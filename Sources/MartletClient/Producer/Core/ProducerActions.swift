/// Batches that go to a broker together, at most one of each partition.
struct BatchRequest: Sendable {
    let node: Int32
    /// Which of the connections to that broker, one after the other, it goes to.
    let connection: Int
    /// Of Produce: which one says how partitions come into a transaction, and by names or by ids.
    let maximumVersion: Int16
    var batches: [ProducerBatch]

    func with(_ batches: [ProducerBatch]) -> BatchRequest {
        var request = self
        request.batches = batches
        return request
    }
}

/// What the broker said about one batch.
struct BatchResult: Sendable {
    var errorCode: Int16 = 0
    var baseOffset: Int64 = -1
    var appendTime: Int64 = -1
    var logStartOffset: Int64 = -1
    var message: String?
}

/// What is to be done now, outside the lock.
struct ProducerActions: Sendable {
    var requests: [BatchRequest] = []
    /// Brokers to connect to, with the number of the connection.
    var connects: [(node: Int32, connection: Int)] = []
    /// Topics to ask for; nil: no need.
    var metadata: [String]?
    var needsIdentity = false
    /// Partitions to add to the transaction.
    var addPartitions: [TopicPartition] = []
    var completions: [(completion: BatchCompletion, outcome: BatchCompletion.Outcome)] = []
    /// Memory has become free.
    var freedMemory = false
    /// When to look again, unless something happens before.
    var nextStep: ContinuousClock.Instant?
}
