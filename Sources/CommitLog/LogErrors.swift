/// Why a log cannot be opened.
package enum LogOpenError: Error, Equatable, Sendable {
    case fileSystem(FileSystemError)
    /// The log holds messages older than record batch v2, which are not read here. Nothing was changed.
    case unsupportedMessageFormat(path: String, magic: Int8)
}

/// Why a read has no answer.
package enum LogReadError: Error, Equatable, Sendable {
    case offsetOutOfRange(start: Int64, end: Int64)
    case storageFailure(FileSystemError)
    /// The directory is offline.
    case offline
    case closed
}

/// Why a change of a log other than an append did not take place.
package enum LogError: Error, Equatable, Sendable {
    case offsetOutOfRange(start: Int64, end: Int64)
    case storageFailure(FileSystemError)
    case offline
    case closed
    /// This node has another role now.
    case notInThisRole
}
