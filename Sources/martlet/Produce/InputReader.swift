import Foundation
import Synchronization

/// Reads a file or standard input in pieces, on a thread of its own: a terminal may keep a read waiting for hours.
final class InputReader: Sendable {
    private static let pieceLength = 256 * 1024
    private let descriptor: CInt
    private let name: String
    private let queue = DispatchQueue(label: "martlet.input")

    /// nil reads standard input.
    init(path: String?) throws {
        guard let path else {
            descriptor = STDIN_FILENO
            name = "standard input"
            return
        }
        name = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CommandFailure("cannot read \(path): \(String(cString: strerror(errno)))")
        }
    }

    private typealias Piece = Result<[UInt8], CommandFailure>
    private let waiting = Mutex<CheckedContinuation<Piece, Never>?>(nil)

    /// What could be read next; nil at the end, or when the task is cancelled.
    func next() async throws -> [UInt8]? {
        let piece = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waiting.withLock { $0 = continuation }
                if Task.isCancelled { return finish(.success([])) }
                startReading()
            }
        } onCancel: {
            finish(.success([]))
        }
        let bytes = try piece.get()
        return bytes.isEmpty ? nil : bytes
    }

    private func finish(_ piece: Piece) {
        let continuation = waiting.withLock { waiting in
            defer { waiting = nil }
            return waiting
        }
        continuation?.resume(returning: piece)
    }

    private func startReading() {
        queue.async { [self] in
            var count = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: Self.pieceLength) { buffer, initialized in
                repeat {
                    count = read(descriptor, buffer.baseAddress, buffer.count)
                } while count < 0 && errno == EINTR
                initialized = max(0, count)
            }
            let code = errno
            finish(
                count < 0
                    ? .failure(CommandFailure("cannot read \(name): \(String(cString: strerror(code)))"))
                    : .success(bytes))
        }
    }
}
