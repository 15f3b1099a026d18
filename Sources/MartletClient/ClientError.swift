import KafkaProtocol

/// What went wrong, whether trying again can help, and what to do next.
package struct ClientError: Error, Sendable, CustomStringConvertible {
    /// The kind of the failure. More may come, so a switch over it needs a default.
    package struct Code: Hashable, Sendable {
        private let name: String

        /// The caller asked for something that cannot be.
        package static let invalidArgument = Code(name: "invalidArgument")
        /// No connection could be made; nothing was sent.
        package static let connectionFailed = Code(name: "connectionFailed")
        /// The connection ended before the reply; the request may have been carried out.
        package static let connectionLost = Code(name: "connectionLost")
        /// No reply in time; the request may have been carried out.
        package static let timedOut = Code(name: "timedOut")
        /// Broker and client have no version of the request in common.
        package static let unsupportedVersion = Code(name: "unsupportedVersion")
        /// The peer sent what is not the Kafka protocol, or records that are damaged.
        package static let malformedReply = Code(name: "malformedReply")
        /// The broker answered with an error; see `protocolCode`.
        package static let refused = Code(name: "refused")
        /// The task was cancelled.
        package static let cancelled = Code(name: "cancelled")
    }

    package let code: Code
    /// One line, without a final stop.
    package let message: String
    /// What the reader may do about it, where that is known.
    package let nextStep: String?
    /// The protocol's error, when the broker answered with one.
    package let protocolCode: ErrorCode?

    package init(_ code: Code, _ message: String, nextStep: String? = nil, protocolCode: ErrorCode? = nil) {
        self.code = code
        self.message = message
        self.nextStep = nextStep
        self.protocolCode = protocolCode
    }

    /// Whether the same request may succeed later.
    package var isRetriable: Bool {
        switch code {
        case .connectionFailed, .connectionLost, .timedOut: true
        case .refused: protocolCode?.isRetriable ?? false
        default: false
        }
    }

    /// `message; nextStep`, one line.
    package var description: String {
        nextStep.map { "\(message); \($0)" } ?? message
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
