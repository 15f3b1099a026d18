/// Names of the files of a partition's directory.
enum LogPaths {
    enum Suffix: String, CaseIterable {
        case log = ".log"
        case offsetIndex = ".index"
        case timeIndex = ".timeindex"
        case transactionIndex = ".txnindex"
        case snapshot = ".snapshot"
    }

    static let deleted = ".deleted"
    static let cleaned = ".cleaned"
    static let swap = ".swap"
    static let directoryDeleted = "-delete"

    /// `<20 digits><suffix>`.
    static func name(_ offset: Int64, _ suffix: Suffix) -> String {
        let digits = String(offset)
        return String(repeating: "0", count: max(0, 20 - digits.count)) + digits + suffix.rawValue
    }

    static func path(_ directory: String, _ offset: Int64, _ suffix: Suffix, _ ending: String = "") -> String {
        directory + "/" + name(offset, suffix) + ending
    }

    /// The offset and kind in a file's name.
    static func parse(_ name: String) -> (offset: Int64, suffix: Suffix)? {
        guard let dot = name.firstIndex(of: "."), let suffix = Suffix(rawValue: String(name[dot...])),
            let offset = Int64(name[..<dot]), offset >= 0
        else { return nil }
        return (offset, suffix)
    }
}
