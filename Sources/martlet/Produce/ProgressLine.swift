import Foundation
import MartletClient

/// A line on standard error that is written over again and again, when there is somebody to read it.
final class ProgressLine {
    private let isVisible = Terminal.errorIsTerminal && !Terminal.inputIsTerminal
    private let start = ContinuousClock.now
    private var lastShown = ContinuousClock.now

    func update(_ count: Int) {
        guard isVisible, ContinuousClock.now - lastShown >= .milliseconds(200) else { return }
        lastShown = ContinuousClock.now
        show(count, end: "")
    }

    func finish(_ count: Int) {
        if isVisible { show(count, end: "\n") }
    }

    private func show(_ count: Int, end: String) {
        let milliseconds = max(1, (ContinuousClock.now - start).milliseconds)
        let text = "\r\(count) records, \(Int64(count) * 1000 / milliseconds) a second   \(end)"
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
    }
}
