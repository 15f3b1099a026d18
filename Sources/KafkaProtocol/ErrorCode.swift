/// An error of the protocol. Codes that this build does not define are kept as they came.
package struct ErrorCode: RawRepresentable, Hashable, Sendable, Error, CustomStringConvertible {
    package let rawValue: Int16

    package init(rawValue: Int16) {
        self.rawValue = rawValue
    }

    package var description: String { name ?? "error code \(rawValue)" }
}
