import ArgumentParser
import MartletClient

/// A codec by Kafka's name of it.
enum CompressionName: String, CaseIterable, ExpressibleByArgument {
    case none, gzip, snappy, lz4, zstd

    var compression: Compression {
        switch self {
        case .none: .none
        case .gzip: .gzip
        case .snappy: .snappy
        case .lz4: .lz4
        case .zstd: .zstd
        }
    }
}

extension ProducerConfiguration.Acknowledgements: ExpressibleByArgument {
    /// Reads Kafka's values of `acks`.
    public init?(argument: String) {
        switch argument {
        case "all", "-1": self = .all
        case "1": self = .leader
        case "0": self = .none
        default: return nil
        }
    }

    /// What help lists.
    public static var allValueStrings: [String] { ["all", "1", "0"] }

    /// What help shows as default.
    public var defaultValueDescription: String {
        switch self {
        case .all: "all"
        case .leader: "1"
        case .none: "0"
        }
    }
}

/// A separator on the command line, with `\\t`, `\\n`, `\\0` and `\\\\` for characters that are hard to type.
struct Separator: ExpressibleByArgument, Equatable {
    let bytes: [UInt8]

    init?(argument: String) {
        var bytes: [UInt8] = []
        var isEscaped = false
        for character in argument.utf8 {
            if isEscaped {
                switch character {
                case UInt8(ascii: "t"): bytes.append(0x09)
                case UInt8(ascii: "n"): bytes.append(0x0A)
                case UInt8(ascii: "0"): bytes.append(0)
                case UInt8(ascii: "\\"): bytes.append(character)
                default: return nil
                }
                isEscaped = false
            } else if character == UInt8(ascii: "\\") {
                isEscaped = true
            } else {
                bytes.append(character)
            }
        }
        guard !isEscaped, !bytes.isEmpty else { return nil }
        self.bytes = bytes
    }
}
