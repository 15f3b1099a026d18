/// What went wrong with a test's broker itself, not with what clients asked of it.
public struct TestBrokerError: Error, Sendable, CustomStringConvertible {
    /// The kind of the failure. More may come, so a switch over it needs a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private let name: String

        /// A setting has an unknown name or a value that cannot be used.
        public static let invalidSetting = Code(name: "invalidSetting")
        /// The broker could not be started.
        public static let notStarted = Code(name: "notStarted")
        /// The broker could not be stopped cleanly.
        public static let notStopped = Code(name: "notStopped")
        /// The call needs a broker that runs, or one that does not.
        public static let wrongState = Code(name: "wrongState")
        /// There is no such topic or partition.
        public static let unknownPartition = Code(name: "unknownPartition")
        /// The broker refused what a helper asked of it; see `brokerError`.
        public static let refused = Code(name: "refused")
        /// The log could not be read.
        public static let unreadable = Code(name: "unreadable")

        /// The code's name, as it stands in the source.
        public var description: String { name }
    }

    /// The kind of the failure.
    public let code: Code
    /// One line, without a final stop.
    public let message: String
    /// Kafka's error, when the broker gave one.
    public let brokerError: BrokerErrorCode?

    init(_ code: Code, _ message: String, brokerError: BrokerErrorCode? = nil) {
        self.code = code
        self.message = message
        self.brokerError = brokerError
    }

    /// The message.
    public var description: String { message }
}
