import KafkaProtocol

/// A request that is refused before anything was changed.
struct GroupError: Error, Equatable {
    let code: ErrorCode
    let message: String?

    init(_ code: ErrorCode, _ message: String? = nil) {
        self.code = code
        self.message = message
    }
}
