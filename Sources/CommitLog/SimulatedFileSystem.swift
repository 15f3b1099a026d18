import Glibc

/// Files in memory that fail as disks do. What was not synchronized may be lost at a crash, bytes of files and names
/// in directories independently; a write may be torn at any byte. All choices come from one seed.
package final class SimulatedFileSystem: FileSystem, @unchecked Sendable {
    // Sendable: every access to the fields below is under `lock`.
    private let lock = Lock()
    private var random: SplitMix64
    private var root = Directory()
    private var generation = 0
    private var heldLocks: Set<String> = []
    private var operations = 0
    private var crashing = false
    private var crashPoint: Int?
    private var faults: [Fault] = []

    /// A failure to come.
    package struct Fault: Sendable {
        package var operation: FileSystemError.Operation
        /// The operation fails on paths that end so.
        package var pathSuffix: String
        package var code: Int32
        /// How many such operations go well before.
        package var after: Int
        /// How many then fail.
        package var times: Int

        package init(
            _ operation: FileSystemError.Operation, pathSuffix: String = "", code: Int32, after: Int = 0,
            times: Int = 1
        ) {
            self.operation = operation
            self.pathSuffix = pathSuffix
            self.code = code
            self.after = after
            self.times = times
        }
    }

    package init(seed: UInt64) {
        random = SplitMix64(seed: seed)
    }

    /// How many operations that change something there were.
    package var operationCount: Int { lock.withLock { operations } }

    /// Whether the crash point was reached: every operation fails until `restart`.
    package var hasCrashed: Bool { lock.withLock { crashing } }

    /// The operation with this number takes place, durable or not, and then the machine is gone.
    package func crash(atOperation number: Int) {
        lock.withLock { crashPoint = number }
    }

    package func inject(_ fault: Fault) {
        lock.withLock { faults.append(fault) }
    }

    package func clearFaults() {
        lock.withLock { faults.removeAll() }
    }

    /// The power goes and comes back: what was not synchronized is lost in parts. Open files are dead.
    package func restart() {
        lock.withLock {
            generation += 1
            crashing = false
            crashPoint = nil
            heldLocks.removeAll()
            faults.removeAll()
            root.loseUnsynchronized(&random)
        }
    }

    /// The process goes, the machine stays: nothing is lost. Open files are dead.
    package func restartProcess() {
        lock.withLock {
            generation += 1
            crashing = false
            crashPoint = nil
            heldLocks.removeAll()
        }
    }

    /// Changes a file's durable bytes behind everyone's back.
    package func corrupt(_ path: String, _ change: (inout [UInt8]) -> Void) throws(FileSystemError) {
        try lock.withLock { () throws(FileSystemError) in
            let inode = try file(at: path, .write)
            change(&inode.current)
            inode.durable = inode.current
            inode.pending.removeAll()
        }
    }

    // MARK: Operations

    package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
        try lock.withLock { () throws(FileSystemError) -> any File in
            try check(.open, path)
            let (directory, name) = try parent(of: path, .open)
            switch directory.current[name] {
            case .file(let inode):
                if mode == .replace, !inode.current.isEmpty {
                    inode.truncate(to: 0)
                    try count(.open, path)
                }
                return SimulatedFile(self, inode, path, generation)
            case .directory:
                throw FileSystemError(.open, path, code: EISDIR)
            case nil:
                guard mode == .create || mode == .replace else {
                    throw FileSystemError(.open, path, code: ENOENT)
                }
                let inode = Inode()
                directory.set(name, .file(inode))
                try count(.open, path)
                return SimulatedFile(self, inode, path, generation)
            }
        }
    }

    package func status(of path: String) throws(FileSystemError) -> FileStatus? {
        try lock.withLock { () throws(FileSystemError) -> FileStatus? in
            try check(.status, path)
            switch node(at: path) {
            case .file(let inode):
                return FileStatus(size: Int64(inode.current.count), isDirectory: false, modificationTime: 0)
            case .directory: return FileStatus(size: 0, isDirectory: true, modificationTime: 0)
            case nil: return nil
            }
        }
    }

    package func list(_ path: String) throws(FileSystemError) -> [String] {
        try lock.withLock { () throws(FileSystemError) in
            try check(.list, path)
            return try directory(at: path, .list).current.keys.sorted()
        }
    }

    package func createDirectory(_ path: String) throws(FileSystemError) {
        try lock.withLock { () throws(FileSystemError) in
            try check(.createDirectory, path)
            let (directory, name) = try parent(of: path, .createDirectory)
            guard directory.current[name] == nil else { return }
            directory.set(name, .directory(Directory()))
            try count(.createDirectory, path)
        }
    }

    package func rename(_ path: String, to target: String) throws(FileSystemError) {
        try lock.withLock { () throws(FileSystemError) in
            try check(.rename, path)
            let (source, name) = try parent(of: path, .rename)
            let (destination, newName) = try parent(of: target, .rename)
            guard source === destination else { throw FileSystemError(.rename, path, code: EXDEV) }
            guard let node = source.current[name] else { throw FileSystemError(.rename, path, code: ENOENT) }
            source.rename(name, to: newName, node)
            try count(.rename, path)
        }
    }

    package func removeFile(_ path: String) throws(FileSystemError) {
        try lock.withLock { () throws(FileSystemError) in
            try check(.remove, path)
            _ = try file(at: path, .remove)
            let (directory, name) = try parent(of: path, .remove)
            directory.set(name, nil)
            try count(.remove, path)
        }
    }

    package func removeDirectory(_ path: String) throws(FileSystemError) {
        try lock.withLock { () throws(FileSystemError) in
            try check(.remove, path)
            guard try self.directory(at: path, .remove).current.isEmpty else {
                throw FileSystemError(.remove, path, code: ENOTEMPTY)
            }
            let (directory, name) = try parent(of: path, .remove)
            directory.set(name, nil)
            try count(.remove, path)
        }
    }

    package func synchronizeDirectory(_ path: String) throws(FileSystemError) {
        try lock.withLock { () throws(FileSystemError) in
            try check(.synchronizeDirectory, path)
            let directory = try directory(at: path, .synchronizeDirectory)
            try count(.synchronizeDirectory, path)
            directory.synchronize()
        }
    }

    package func lock(_ path: String) throws(FileSystemError) -> AnyObject? {
        _ = try open(path, .create)
        return lock.withLock {
            guard heldLocks.insert(path).inserted else { return nil }
            return HeldLock(self, path, generation)
        }
    }

    fileprivate func release(_ path: String, _ generation: Int) {
        lock.withLock {
            if generation == self.generation { heldLocks.remove(path) }
        }
    }

    // MARK: Files

    fileprivate func withFile<Result>(
        _ file: SimulatedFile, _ operation: FileSystemError.Operation, changes: Bool,
        _ body: (Inode, inout SplitMix64) -> Result
    ) throws(FileSystemError) -> Result {
        try lock.withLock { () throws(FileSystemError) in
            guard file.generation == generation else { throw FileSystemError(operation, file.path, code: EIO) }
            try check(operation, file.path)
            // A synchronization that the crash interrupts has no effect; any other change may have one.
            if operation == .synchronize { try count(operation, file.path) }
            let result = body(file.inode, &random)
            if changes, operation != .synchronize { try count(operation, file.path) }
            return result
        }
    }

    // MARK: Inside

    /// Counts a change; throws when it is the one at which the machine goes.
    private func count(_ operation: FileSystemError.Operation, _ path: String) throws(FileSystemError) {
        operations += 1
        if operations == crashPoint {
            crashing = true
            throw FileSystemError(operation, path, code: EIO)
        }
    }

    private func check(_ operation: FileSystemError.Operation, _ path: String) throws(FileSystemError) {
        if crashing { throw FileSystemError(operation, path, code: EIO) }
        for index in faults.indices
        where faults[index].operation == operation && path.hasSuffix(faults[index].pathSuffix) {
            if faults[index].after > 0 {
                faults[index].after -= 1
            } else if faults[index].times > 0 {
                faults[index].times -= 1
                throw FileSystemError(operation, path, code: faults[index].code)
            }
        }
    }

    private func node(at path: String) -> Node? {
        var node = Node.directory(root)
        for part in path.split(separator: "/") where part != "." {
            guard case .directory(let directory) = node, let next = directory.current[String(part)] else { return nil }
            node = next
        }
        return node
    }

    private func directory(
        at path: String, _ operation: FileSystemError.Operation
    ) throws(FileSystemError) -> Directory {
        guard case .directory(let directory) = node(at: path) else {
            throw FileSystemError(operation, path, code: ENOENT)
        }
        return directory
    }

    private func file(at path: String, _ operation: FileSystemError.Operation) throws(FileSystemError) -> Inode {
        guard case .file(let inode) = node(at: path) else { throw FileSystemError(operation, path, code: ENOENT) }
        return inode
    }

    private func parent(
        of path: String, _ operation: FileSystemError.Operation
    ) throws(FileSystemError) -> (Directory, String) {
        (try directory(at: path.contains("/") ? parentPath(of: path) : "", operation), lastPathPart(of: path))
    }

    fileprivate enum Node {
        case file(Inode)
        case directory(Directory)
    }

    /// A directory's names. Those changed since the last synchronization survive a crash up to some moment, in order,
    /// as a journal keeps them.
    fileprivate final class Directory {
        var current: [String: Node] = [:]
        private var durable: [String: Node] = [:]
        private var pending: [[String: Node]] = []

        func set(_ name: String, _ node: Node?) {
            current[name] = node
            pending.append(current)
        }

        func rename(_ name: String, to newName: String, _ node: Node) {
            current[name] = nil
            current[newName] = node
            pending.append(current)
        }

        func synchronize() {
            durable = current
            pending.removeAll()
        }

        func loseUnsynchronized(_ random: inout SplitMix64) {
            let kept = Int.random(in: 0...pending.count, using: &random)
            current = kept == 0 ? durable : pending[kept - 1]
            durable = current
            pending.removeAll()
            for name in current.keys.sorted() {
                switch current[name] {
                case .file(let inode): inode.loseUnsynchronized(&random)
                case .directory(let directory): directory.loseUnsynchronized(&random)
                case nil: break
                }
            }
        }
    }

    /// A file's bytes. Each change since the last synchronization survives a crash wholly, partly or not at all.
    fileprivate final class Inode {
        enum Change {
            case write(Int, [UInt8])
            case truncate(Int)
        }

        var current: [UInt8] = []
        var durable: [UInt8] = []
        var pending: [Change] = []

        static func apply(_ change: Change, to bytes: inout [UInt8]) {
            switch change {
            case .write(let position, let written):
                guard !written.isEmpty else { return }
                // Whole stretches, and not byte by byte: tests of this library's users run unoptimized.
                if position > bytes.count { bytes += [UInt8](repeating: 0, count: position - bytes.count) }
                let overwritten = min(bytes.count - position, written.count)
                written.withUnsafeBytes { source in
                    bytes.withUnsafeMutableBytes { target in
                        UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(
                            from: UnsafeRawBufferPointer(rebasing: source[..<overwritten]))
                    }
                }
                if overwritten < written.count {
                    bytes += overwritten == 0 ? written : Array(written[overwritten...])
                }
            case .truncate(let size):
                if bytes.count > size {
                    bytes.removeSubrange(size...)
                } else {
                    bytes += [UInt8](repeating: 0, count: size - bytes.count)
                }
            }
        }

        func write(_ bytes: [UInt8], at position: Int) {
            Self.apply(.write(position, bytes), to: &current)
            pending.append(.write(position, bytes))
        }

        func truncate(to size: Int) {
            Self.apply(.truncate(size), to: &current)
            pending.append(.truncate(size))
        }

        func synchronize() {
            // Not a copy of all: a log is synchronized often and is long.
            for change in pending { Self.apply(change, to: &durable) }
            pending.removeAll()
        }

        func loseUnsynchronized(_ random: inout SplitMix64) {
            var survived = durable
            let habit = Int.random(in: 0..<4, using: &random)
            for change in pending {
                switch habit {
                case 0: break
                case 1: Self.apply(change, to: &survived)
                default:
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: break
                    case 1: Self.apply(change, to: &survived)
                    default:
                        guard case .write(let position, let bytes) = change else { continue }
                        let torn = Int.random(in: 0...bytes.count, using: &random)
                        Self.apply(.write(position, Array(bytes[..<torn])), to: &survived)
                    }
                }
            }
            current = survived
            durable = survived
            pending.removeAll()
        }
    }

    private final class HeldLock {
        private weak var fileSystem: SimulatedFileSystem?
        private let path: String
        private let generation: Int

        init(_ fileSystem: SimulatedFileSystem, _ path: String, _ generation: Int) {
            self.fileSystem = fileSystem
            self.path = path
            self.generation = generation
        }

        deinit {
            fileSystem?.release(path, generation)
        }
    }
}

private final class SimulatedFile: File, @unchecked Sendable {
    // Sendable: the inode is touched only under the file system's lock.
    private let fileSystem: SimulatedFileSystem
    let inode: SimulatedFileSystem.Inode
    let path: String
    let generation: Int

    init(
        _ fileSystem: SimulatedFileSystem, _ inode: SimulatedFileSystem.Inode, _ path: String, _ generation: Int
    ) {
        self.fileSystem = fileSystem
        self.inode = inode
        self.path = path
        self.generation = generation
    }

    var descriptor: Int32? { nil }

    func size() throws(FileSystemError) -> Int64 {
        try fileSystem.withFile(self, .status, changes: false) { inode, _ in Int64(inode.current.count) }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int64) throws(FileSystemError) -> Int {
        try fileSystem.withFile(self, .read, changes: false) { inode, _ in
            guard position < inode.current.count else { return 0 }
            let count = min(buffer.count, inode.current.count - Int(position))
            inode.current.withUnsafeBytes { bytes in
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[Int(position)..<Int(position) + count]))
            }
            return count
        }
    }

    func write(_ pieces: UnsafeBufferPointer<iovec>, at position: Int64) throws(FileSystemError) -> Int {
        precondition(pieces.count <= maximumWritePieces)
        return try fileSystem.withFile(self, .write, changes: true) { inode, random in
            var bytes = [UInt8](unsafeUninitializedCapacity: pieces.reduce(0) { $0 + $1.iov_len }) { memory, count in
                let memory = UnsafeMutableRawBufferPointer(memory)
                for piece in pieces {
                    UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(
                        from: UnsafeRawBufferPointer(start: piece.iov_base, count: piece.iov_len))
                    count += piece.iov_len
                }
            }
            // Now and then less than all is written, as the system's call may do.
            if bytes.count > 1, Int.random(in: 0..<8, using: &random) == 0 {
                bytes.removeSubrange(Int.random(in: 1..<bytes.count, using: &random)...)
            }
            inode.write(bytes, at: Int(position))
            return bytes.count
        }
    }

    func synchronize() throws(FileSystemError) {
        try fileSystem.withFile(self, .synchronize, changes: true) { inode, _ in inode.synchronize() }
    }

    func truncate(to size: Int64) throws(FileSystemError) {
        try fileSystem.withFile(self, .truncate, changes: true) { inode, _ in inode.truncate(to: Int(size)) }
    }

    func preallocate(from position: Int64, count: Int64) throws(FileSystemError) {
        try fileSystem.withFile(self, .preallocate, changes: false) { _, _ in }
    }
}

/// A small seeded generator: the same seed makes the same run everywhere.
package struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
