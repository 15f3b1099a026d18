import KafkaProtocol

extension ClientError {
    /// The error of a reply's code about `subject`; nil for none.
    package static func from(_ code: Int16, _ subject: String, message: String? = nil) -> ClientError? {
        let code = ErrorCode(rawValue: code)
        return code == .none ? nil : .refused(code, subject, message: message)
    }
}
