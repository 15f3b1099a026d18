import Glibc
import RecordFormat

/// Why a data directory cannot be opened.
package enum LogDirectoryError: Error, Equatable, Sendable {
    case fileSystem(FileSystemError)
    /// Another process uses the directory.
    case locked(String)
    /// The directory belongs to another cluster or node.
    case belongsElsewhere(MetaProperties)
    case corruptMetaProperties(String)
    case log(PartitionName, LogOpenError)
    case partitionExists(PartitionName)
    case offline
}

/// A data directory: the logs of partitions, and what the broker remembers about all of them.
package final class LogDirectory: @unchecked Sendable {
    // Sendable: mutable fields are touched only under `lock`.

    package static let cleanShutdownName = ".kafka_cleanshutdown"

    package let path: String
    package let health = DirectoryHealth()
    package internal(set) var metaProperties: MetaProperties
    /// Whether the one who used the directory before ended cleanly.
    package private(set) var wasCleanlyClosed = false
    let fileSystem: any FileSystem
    /// Held until the directory is closed.
    private var processLock: AnyObject?
    private let lock = Lock()
    /// Held while checkpoints are written, by threads that may wait for the disk.
    private let checkpointLock = Lock()
    private var logs: [PartitionName: Log] = [:]
    private var pendingDirectories: [PendingDirectory] = []
    private var loadedHighWatermarks: [PartitionName: Int64] = [:]
    /// Which partitions each checkpoint on disk names; under `checkpointLock`. A partition that is made anew must not
    /// find what one of the same name left in them.
    private var checkpointed: [OffsetCheckpoint.Name: Set<PartitionName>] = [:]

    private struct PendingDirectory {
        var path: String
        var due: Int64
    }

    /// What to open a directory with.
    package struct Opening: Sendable {
        package var path: String
        package var fileSystem: any FileSystem
        package var clusterId: String
        package var nodeId: Int32
        /// The configuration of a topic's logs.
        package var configuration: @Sendable (PartitionName) -> LogConfiguration
        /// Whether another broker wrote the directory. Kafka compacts above its recovery points, so that gaps there are
        /// no sign of a lost tail.
        package var isForeign: Bool
        /// How many logs are recovered at the same time.
        package var recoveryThreads: Int
        package var now: Int64

        package init(
            path: String, fileSystem: any FileSystem, clusterId: String, nodeId: Int32,
            configuration: @escaping @Sendable (PartitionName) -> LogConfiguration = { _ in LogConfiguration() },
            isForeign: Bool = false, recoveryThreads: Int = 1, now: Int64
        ) {
            self.isForeign = isForeign
            self.path = path
            self.fileSystem = fileSystem
            self.clusterId = clusterId
            self.nodeId = nodeId
            self.configuration = configuration
            self.recoveryThreads = recoveryThreads
            self.now = now
        }
    }

    private init(_ opening: Opening, metaProperties: MetaProperties, processLock: AnyObject) {
        path = opening.path
        fileSystem = opening.fileSystem
        self.metaProperties = metaProperties
        self.processLock = processLock
    }

    // MARK: Opening

    /// Opens a directory, making it when it is not there, and all logs in it.
    package static func open(
        _ opening: Opening
    ) throws(LogDirectoryError) -> (directory: LogDirectory, report: RecoveryReport) {
        let fileSystem = opening.fileSystem
        let directory: LogDirectory
        var names: [String]
        var report = RecoveryReport()
        do throws(FileSystemError) {
            if try fileSystem.status(of: opening.path) == nil {
                try fileSystem.createDirectory(opening.path)
                try fileSystem.synchronizeDirectory(parentPath(of: opening.path))
            }
            guard let processLock = try fileSystem.lock(opening.path + "/.lock") else {
                throw FileSystemError(.lock, opening.path + "/.lock", code: EWOULDBLOCK)
            }
            let properties = try MetaProperties.read(opening)
            directory = LogDirectory(opening, metaProperties: properties, processLock: processLock)
            names = try fileSystem.list(opening.path).sorted()
        } catch {
            if error.operation == .lock, error.code == EWOULDBLOCK { throw .locked(opening.path) }
            if error.code == EBADMSG { throw .corruptMetaProperties(error.path) }
            throw .fileSystem(error)
        }
        let properties = directory.metaProperties
        guard properties.clusterId == opening.clusterId, properties.nodeId == opening.nodeId else {
            throw .belongsElsewhere(properties)
        }

        let wasClean = names.contains(cleanShutdownName)
        directory.wasCleanlyClosed = wasClean
        let recoveryPoints = try directory.readCheckpoint(.recoveryPoint, &report)
        let starts = try directory.readCheckpoint(.logStart, &report) ?? [:]
        let cleaned = try directory.readCheckpoint(.cleaner, &report) ?? [:]
        directory.loadedHighWatermarks = try directory.readCheckpoint(.highWatermark, &report) ?? [:]
        var openings: [LogOpening] = []
        do throws(FileSystemError) {
            // From here on a crash leaves an unclean directory.
            if wasClean {
                try fileSystem.removeFileIfPresent(opening.path + "/" + cleanShutdownName)
                try fileSystem.synchronizeDirectory(opening.path)
            }
            for name in names {
                let path = opening.path + "/" + name
                guard try fileSystem.status(of: path)?.isDirectory == true else { continue }
                if name.hasSuffix(LogPaths.directoryDeleted) {
                    directory.pendingDirectories.append(PendingDirectory(path: path, due: opening.now))
                    continue
                }
                guard let partition = PartitionName(directoryName: name) else { continue }
                openings.append(
                    LogOpening(
                        name: partition, path: path, fileSystem: fileSystem,
                        configuration: opening.configuration(partition),
                        recoveryPoint: recoveryPoints?[partition] ?? 0,
                        isRecoveryPointKnown: recoveryPoints != nil && !opening.isForeign,
                        logStartOffset: starts[partition] ?? 0,
                        wasCleanShutdown: wasClean, now: opening.now, health: directory.health))
            }
        } catch {
            throw .fileSystem(error)
        }
        report.merge(try directory.openLogs(openings, threads: opening.recoveryThreads))
        for (name, log) in directory.logs {
            log.lock.withLock { log.cleanedUpTo = cleaned[name] ?? 0 }
        }
        // Later openings then know that the recovery points are all there.
        if recoveryPoints == nil { try directory.writeCheckpoints() }
        return (directory, report)
    }

    private func readCheckpoint(
        _ name: OffsetCheckpoint.Name, _ report: inout RecoveryReport
    ) throws(LogDirectoryError) -> [PartitionName: Int64]? {
        let file = path + "/" + name.rawValue
        do throws(FileSystemError) {
            guard let bytes = try fileSystem.contents(of: file) else { return nil }
            if let offsets = OffsetCheckpoint.decode(bytes) {
                checkpointed[name] = Set(offsets.keys)
                return offsets
            }
            report.add(file, cut: Int64(bytes.count), .corruptCheckpoint)
            return nil
        } catch {
            throw .fileSystem(error)
        }
    }

    /// Opens logs, several at a time.
    private func openLogs(_ openings: [LogOpening], threads: Int) throws(LogDirectoryError) -> RecoveryReport {
        let work = OpeningWork(openings)
        runOnThreads(min(threads, openings.count)) { work.run() }
        var report = RecoveryReport()
        for (opening, result) in zip(openings, work.results) {
            switch result {
            case .success(let opened):
                logs[opening.name] = opened.log
                report.merge(opened.report)
            case .failure(let error): throw .log(opening.name, error)
            case nil: preconditionFailure("every log was opened")
            }
        }
        return report
    }

    private final class OpeningWork: @unchecked Sendable {
        // Sendable: `next` and `results` are touched only under the lock, or after all threads ended.
        private let lock = Lock()
        private let openings: [LogOpening]
        private var next = 0
        private(set) var results: [Result<(log: Log, report: RecoveryReport), LogOpenError>?]

        init(_ openings: [LogOpening]) {
            self.openings = openings
            results = Array(repeating: nil, count: openings.count)
        }

        func run() {
            while true {
                let index = lock.withLock {
                    defer { next += 1 }
                    return next
                }
                guard index < openings.count else { return }
                let result = Result { () throws(LogOpenError) in try Log.open(openings[index]) }
                lock.withLock { results[index] = result }
            }
        }
    }

    // MARK: Logs

    package var allLogs: [Log] { lock.withLock { Array(logs.values) } }

    package func log(_ name: PartitionName) -> Log? { lock.withLock { logs[name] } }

    /// The high watermark of a partition at the last checkpoint.
    package func checkpointedHighWatermark(_ name: PartitionName) -> Int64? {
        lock.withLock { loadedHighWatermarks[name] }
    }

    /// Makes an empty log for a partition that has none here. `topicId` as Kafka prints it.
    package func createLog(
        _ name: PartitionName, topicId: String?, configuration: LogConfiguration, now: Int64
    ) throws(LogDirectoryError) -> Log {
        if health.isOffline { throw .offline }
        return try checkpointLock.withLock { () throws(LogDirectoryError) in
            if checkpointed.values.contains(where: { $0.contains(name) }) {
                // A log of this name was deleted since; its offsets are not the new one's.
                do throws(FileSystemError) {
                    try writeCheckpoints(of: lock.withLock { logs })
                } catch {
                    if !error.isOutOfResources { health.goOffline(error) }
                    throw .fileSystem(error)
                }
            }
            return try makeLog(name, topicId: topicId, configuration: configuration, now: now)
        }
    }

    private func makeLog(
        _ name: PartitionName, topicId: String?, configuration: LogConfiguration, now: Int64
    ) throws(LogDirectoryError) -> Log {
        try lock.withLock { () throws(LogDirectoryError) in
            guard logs[name] == nil else { throw .partitionExists(name) }
            let directory = path + "/" + name.description
            do throws(FileSystemError) {
                try fileSystem.createDirectory(directory)
                if let topicId {
                    try fileSystem.replaceContents(
                        of: directory + "/" + PartitionMetadata.fileName,
                        with: PartitionMetadata.encode(topicId: topicId))
                }
                try fileSystem.synchronizeDirectory(path)
            } catch {
                throw .fileSystem(error)
            }
            let opened: Log
            do throws(LogOpenError) {
                opened = try Log.open(
                    LogOpening(
                        name: name, path: directory, fileSystem: fileSystem, configuration: configuration,
                        wasCleanShutdown: true, now: now, health: health)
                ).log
            } catch {
                throw .log(name, error)
            }
            logs[name] = opened
            return opened
        }
    }

    /// The topic id that a partition's directory carries; nil when it has none.
    package func topicId(of name: PartitionName) throws(LogDirectoryError) -> String? {
        do throws(FileSystemError) {
            guard
                let bytes = try fileSystem.contents(
                    of: path + "/" + name.description + "/" + PartitionMetadata.fileName)
            else { return nil }
            return PartitionMetadata.decode(bytes)
        } catch {
            throw .fileSystem(error)
        }
    }

    /// Takes a log out of use. Its directory is renamed now and removed after the topic's `file.delete.delay.ms`.
    /// `unique` makes the new name, 32 hexadecimal digits.
    package func deleteLog(_ name: PartitionName, unique: String, now: Int64) throws(LogDirectoryError) {
        if health.isOffline { throw .offline }
        try lock.withLock { () throws(LogDirectoryError) in
            guard let log = logs.removeValue(forKey: name) else { return }
            log.abandon()
            loadedHighWatermarks[name] = nil
            let ending = ".\(unique)\(LogPaths.directoryDeleted)"
            // A file name has at most 255 bytes.
            let kept = String(decoding: name.description.utf8.prefix(255 - ending.utf8.count), as: UTF8.self)
            let target = path + "/" + kept + ending
            do throws(FileSystemError) {
                try fileSystem.rename(path + "/" + name.description, to: target)
                try fileSystem.synchronizeDirectory(path)
            } catch {
                health.goOffline(error)
                throw .fileSystem(error)
            }
            pendingDirectories.append(
                PendingDirectory(
                    path: target, due: now.saturatingAdding(log.currentConfiguration.fileDeleteDelayMilliseconds)))
        }
    }

    /// Removes what was deleted long enough ago: whole logs and single segments.
    package func deletePending(now: Int64) throws(LogDirectoryError) {
        let due = lock.withLock {
            defer { pendingDirectories.removeAll { $0.due <= now } }
            return pendingDirectories.filter { $0.due <= now }
        }
        do throws(FileSystemError) {
            for directory in due { try removeTree(directory.path) }
        } catch {
            // What is left is tried again the next time.
            lock.withLock { pendingDirectories += due }
            throw .fileSystem(error)
        }
        for log in allLogs {
            // The log knows what a failure means for the directory.
            do throws(LogError) {
                try log.deletePendingFiles(now: now)
            } catch {
                if case .storageFailure(let failure) = error { throw .fileSystem(failure) }
            }
        }
    }

    private func removeTree(_ path: String) throws(FileSystemError) {
        guard try fileSystem.status(of: path) != nil else { return }
        for name in try fileSystem.list(path) {
            let child = path + "/" + name
            if try fileSystem.status(of: child)?.isDirectory == true {
                try removeTree(child)
            } else {
                try fileSystem.removeFileIfPresent(child)
            }
        }
        try fileSystem.removeDirectory(path)
    }

    /// The bytes of each log, for DescribeLogDirs.
    package var sizes: [PartitionName: Int64] { lock.withLock { logs.mapValues(\.size) } }

    // MARK: Checkpoints

    /// Writes what a start after a crash saves work with: recovery points, start offsets, high watermarks, and how
    /// far the logs are compacted.
    package func writeCheckpoints() throws(LogDirectoryError) {
        try checkpointing { logs throws(FileSystemError) in try writeCheckpoints(of: logs) }
    }

    private func writeCheckpoints(of logs: [PartitionName: Log]) throws(FileSystemError) {
        let recoveryPoints = logs.mapValues { log in
            log.lock.withLock {
                let durable = log.durableOffset
                log.checkpointedRecoveryPoint = max(durable, log.checkpointedRecoveryPoint)
                return durable
            }
        }
        for log in logs.values { try log.writeDirtyEpochs() }
        try write(.recoveryPoint, recoveryPoints)
        for (name, log) in logs {
            log.lock.withLock {
                let written = recoveryPoints[name] ?? 0
                log.persistedRecoveryPoint = min(written, log.endOffset)
                log.checkpointedRecoveryPoint = written
            }
        }
        try write(.highWatermark, logs.mapValues(\.highWatermark))
        try writeStartOffsets(of: logs)
        let cleaned = logs.mapValues { log in log.lock.withLock { log.cleanedUpTo } }.filter { $0.value > 0 }
        try write(.cleaner, cleaned)
    }

    /// Writes the start offsets alone, at once: what a client deleted must not come back after a crash.
    package func writeStartOffsets() throws(LogDirectoryError) {
        try checkpointing { logs throws(FileSystemError) in try writeStartOffsets(of: logs) }
    }

    private func writeStartOffsets(of logs: [PartitionName: Log]) throws(FileSystemError) {
        try write(
            .logStart,
            // Also where a segment begins there: the removal of those before it may not be on stable storage yet.
            logs.mapValues(\.startOffset).filter { $0.value > 0 })
    }

    /// One thread at a time, because each file is replaced as a whole.
    private func checkpointing(
        _ body: ([PartitionName: Log]) throws(FileSystemError) -> Void
    ) throws(LogDirectoryError) {
        if health.isOffline { throw .offline }
        do throws(FileSystemError) {
            try checkpointLock.withLock { () throws(FileSystemError) in try body(lock.withLock { self.logs }) }
        } catch {
            if !error.isOutOfResources { health.goOffline(error) }
            throw .fileSystem(error)
        }
    }

    private func write(
        _ name: OffsetCheckpoint.Name, _ offsets: [PartitionName: Int64]
    ) throws(FileSystemError) {
        // Also when the write fails, since the file may hold them all the same.
        checkpointed[name, default: []].formUnion(offsets.keys)
        try fileSystem.replaceContents(of: path + "/" + name.rawValue, with: OffsetCheckpoint.encode(offsets))
        checkpointed[name] = Set(offsets.keys)
    }

    /// Closes all logs and marks the directory as cleanly shut down.
    package func close(now: Int64) throws(LogDirectoryError) {
        for log in allLogs {
            do throws(LogError) {
                try log.close(now: now)
            } catch {
                if case .storageFailure(let failure) = error { throw .fileSystem(failure) }
                throw .offline
            }
        }
        try writeCheckpoints()
        do throws(FileSystemError) {
            try fileSystem.replaceContents(
                of: path + "/" + Self.cleanShutdownName, with: Array("{\"version\":0,\"brokerEpoch\":-1}".utf8))
        } catch {
            throw .fileSystem(error)
        }
        lock.withLock { processLock = nil }
    }

    /// Ends the use of all logs without a word to the disk, as the end of the process would.
    package func abandon() {
        for log in allLogs { log.abandon() }
        lock.withLock { processLock = nil }
    }
}
