/// One opening of a data directory.
package struct DirectoryLife: Sendable, Equatable {
    /// The directory's own id, which it got when it was made.
    package var directoryId: String
    /// Whether the directory was made just now, or by a start that did not get far.
    package var isNew: Bool
    /// Whether records may be missing that only the page cache had: the machine went down since the directory was in use.
    package var mayLackUnsynced: Bool
}

extension LogDirectory {
    /// Kafka's name for it (KIP-858).
    private static let directoryIdKey = "directory.id"
    /// Holds the machine's life in which the directory was last used, or one of the words below.
    private static let machineLifeName = "machine-life"
    /// What may be missing has not been told to those who must know.
    private static let unsettled = "unsettled"
    private static let unsettledNew = "unsettled-new"

    /// Compares this opening with those before. `machine` names the time since the machine was started; `newDirectoryId`
    /// is for a directory that has no id yet. What it finds it finds again until `settleLife`.
    package func beginLife(
        machine: String, newDirectoryId: String
    ) throws(LogDirectoryError) -> DirectoryLife {
        do throws(FileSystemError) {
            let file = path + "/" + Self.machineLifeName
            let before = try fileSystem.contents(of: file).map { String(decoding: $0, as: UTF8.self) }
            // A directory of before there was this file has logs, or nothing that could be missed.
            let isNew = before == Self.unsettledNew || (before == nil && allLogs.isEmpty)
            let isAnotherLife = before != nil && before != machine && !isNew
            let mayLack = before == Self.unsettled || (isAnotherLife && !wasCleanlyClosed)
            let after = isNew ? Self.unsettledNew : mayLack ? Self.unsettled : machine
            if before != after { try fileSystem.replaceContents(of: file, with: Array(after.utf8)) }
            return DirectoryLife(
                directoryId: try directoryId(orNew: newDirectoryId), isNew: isNew, mayLackUnsynced: mayLack)
        } catch {
            throw .fileSystem(error)
        }
    }

    /// From here on what may have been lost before counts no more: whoever must know has taken note of it.
    package func settleLife(machine: String) throws(LogDirectoryError) {
        do throws(FileSystemError) {
            let file = path + "/" + Self.machineLifeName
            if try fileSystem.contents(of: file) != Array(machine.utf8) {
                try fileSystem.replaceContents(of: file, with: Array(machine.utf8))
            }
        } catch {
            throw .fileSystem(error)
        }
    }

    private func directoryId(orNew new: String) throws(FileSystemError) -> String {
        if let id = metaProperties.others[Self.directoryIdKey] { return id }
        var properties = metaProperties
        properties.others[Self.directoryIdKey] = new
        try fileSystem.replaceContents(of: path + "/" + MetaProperties.fileName, with: properties.encode())
        metaProperties = properties
        return new
    }
}
