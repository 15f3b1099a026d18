import KafkaProtocol

/// What went wrong, whether trying again can help, and what to do next.
public struct ClientError: Error, Sendable, CustomStringConvertible {
    /// The kind of the failure. More may come, so a switch over it needs a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private let name: String

        /// The caller asked for something that cannot be.
        public static let invalidArgument = Code(name: "invalidArgument")
        /// No connection could be made; nothing was sent.
        public static let connectionFailed = Code(name: "connectionFailed")
        /// The connection ended before the reply; the request may have been carried out.
        public static let connectionLost = Code(name: "connectionLost")
        /// The broker did not accept who the client is, or the client not who the broker is (TLS, SASL).
        public static let authenticationFailed = Code(name: "authenticationFailed")
        /// No reply in time, with all retries; the request may have been carried out.
        public static let timedOut = Code(name: "timedOut")
        /// Broker and client have no version of the request in common.
        public static let unsupportedVersion = Code(name: "unsupportedVersion")
        /// The peer sent what is not the Kafka protocol, or records that are damaged.
        public static let malformedReply = Code(name: "malformedReply")
        /// The broker answered with an error; see `brokerErrorCode`.
        public static let refused = Code(name: "refused")
        /// The task was cancelled. What it had asked for may happen nevertheless.
        public static let cancelled = Code(name: "cancelled")
        /// `buffer.memory` is full of records on their way.
        public static let bufferFull = Code(name: "bufferFull")
        /// A record is larger than `max.request.size` or `buffer.memory`.
        public static let recordTooLarge = Code(name: "recordTooLarge")
        /// A serializer threw: a value has no bytes, or bytes are not a value.
        public static let serializationFailed = Code(name: "serializationFailed")
        /// The client was closed before.
        public static let closed = Code(name: "closed")
        /// Another producer with the same transactional id has taken over. This one cannot be used any more.
        public static let fenced = Code(name: "fenced")
        /// The transaction cannot be committed; it was or must be aborted, after which a new one may succeed.
        public static let transactionAborted = Code(name: "transactionAborted")
        /// A partition has no position to consume from: nothing is committed and `auto.offset.reset` is none.
        public static let noOffset = Code(name: "noOffset")
        /// Records that were consumed are not in the log any more: another leader had not got them (KIP-320).
        public static let logTruncated = Code(name: "logTruncated")
        /// Offsets were not committed: the group is dividing the partitions anew, or has given them to others. Those who
        /// have them then consume again what was not committed. The former may pass and is retriable
        /// (`RebalanceInProgressException`), the latter is final (`CommitFailedException`).
        public static let commitFailed = Code(name: "commitFailed")
        /// The call does not fit to the state of the client, such as a transaction inside another.
        public static let invalidState = Code(name: "invalidState")

        /// The code's name, as it stands in the source.
        public var description: String { name }
    }

    /// The kind of the failure.
    public let code: Code
    /// One line, without a final stop.
    public let message: String
    /// What the reader may do about it, where that is known.
    public let nextStep: String?
    /// The protocol's error, when the broker answered with one.
    package let protocolCode: ErrorCode?
    /// Whether the client that threw it cannot be used any more and must be closed.
    public let isFatal: Bool

    /// Whether a connection to one broker failed while others can be reached, so that its work may go to one of them.
    private(set) var isOfOneBroker = false

    /// Whether a connection failed because nobody knows the host's name.
    let isUnresolved: Bool

    package init(
        _ code: Code, _ message: String, nextStep: String? = nil, protocolCode: ErrorCode? = nil, isFatal: Bool = false,
        isUnresolved: Bool = false
    ) {
        self.code = code
        self.message = message
        self.nextStep = nextStep
        self.protocolCode = protocolCode
        self.isFatal = isFatal
        self.isUnresolved = isUnresolved
    }

    /// The number of Kafka's error, when the broker answered with one.
    public var brokerErrorCode: Int16? { protocolCode?.rawValue }

    /// Whether the same request may succeed later.
    public var isRetriable: Bool {
        if isFatal { return false }
        return switch code {
        case .connectionFailed, .connectionLost, .timedOut, .bufferFull, .transactionAborted: true
        case .refused: protocolCode?.isRetriable ?? false
        case .commitFailed: protocolCode == .rebalanceInProgress
        default: false
        }
    }

    /// `message; nextStep`, one line.
    public var description: String {
        nextStep.map { "\(message); \($0)" } ?? message
    }

    /// The same error of one of several brokers.
    func ofOneBroker() -> ClientError {
        var error = self
        error.isOfOneBroker = true
        return error
    }

    /// The same error of a client that cannot go on.
    func fatal() -> ClientError {
        ClientError(
            code, message, nextStep: nextStep, protocolCode: protocolCode, isFatal: true,
            isUnresolved: isUnresolved)
    }

    /// The broker's error about `subject` ("topic 'orders'"). The broker's own words stand before ours.
    package static func refused(_ code: ErrorCode, _ subject: String, message: String? = nil) -> ClientError {
        let advice = ErrorAdvice.of(code)
        let reason = message.flatMap { $0.isEmpty ? nil : withoutFinalStop($0) } ?? advice?.meaning
        return ClientError(
            .refused, reason.map { "\(subject): \($0) (\(code))" } ?? "\(subject): \(code)",
            nextStep: advice?.nextStep, protocolCode: code)
    }

    private static func withoutFinalStop(_ text: String) -> String {
        let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        return line.hasSuffix(".") ? String(line.dropLast()) : line
    }
}
