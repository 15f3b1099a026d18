/// A record on its way. Light: a reference to what the record's batch has in common, and an index.
public struct Delivery: Sendable {
    let completion: BatchCompletion
    let index: Int32
    let timestamp: Int64

    /// Waits until the record is acknowledged, or has failed for good: retries are over by then. Throws `cancelled` when
    /// the task is; the record may be written nevertheless.
    public nonisolated(nonsending) var metadata: RecordMetadata {
        get async throws(ClientError) {
            var delivery = self
            while true {
                guard let outcome = await delivery.completion.wait() else {
                    throw ClientError(.cancelled, "cancelled; the record may be written nevertheless")
                }
                switch delivery.resolve(outcome) {
                case .known(let result): return try result.get()
                case .elsewhere(let next): delivery = next
                }
            }
        }
    }

    /// What became of the record; nil while that is open. It does not wait.
    public var result: Result<RecordMetadata, ClientError>? {
        var delivery = self
        while true {
            guard let outcome = delivery.completion.outcome else { return nil }
            switch delivery.resolve(outcome) {
            case .known(let result): return result
            case .elsewhere(let next): delivery = next
            }
        }
    }

    private enum Resolution {
        case known(Result<RecordMetadata, ClientError>)
        case elsewhere(Delivery)
    }

    private func resolve(_ outcome: BatchCompletion.Outcome) -> Resolution {
        switch outcome {
        case .failed(let error): .known(.failure(error))
        case .forwarded(let deliveries): .elsewhere(deliveries[Int(index)])
        case .acknowledged(let baseOffset, let appendTime):
            .known(
                .success(
                    RecordMetadata(
                        topic: completion.topic, partition: completion.partition,
                        offset: baseOffset < 0 ? nil : baseOffset + Int64(index),
                        timestamp: appendTime < 0 ? timestamp : appendTime)))
        }
    }
}
