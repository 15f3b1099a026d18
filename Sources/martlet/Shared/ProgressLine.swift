import Foundation
import MartletClient

/// A line on standard error that is written over again and again, when there is somebody to read it.
final class ProgressLine {
    private static let barWidth = 30

    private let isVisible: Bool
    private let total: Int?
    private let start = ContinuousClock.now
    private var lastShown = ContinuousClock.now

    /// With `total` there is a bar too.
    init(total: Int? = nil, isVisible: Bool = Terminal.errorIsTerminal) {
        self.total = total
        self.isVisible = isVisible
    }

    func update(_ count: Int) {
        guard isVisible, ContinuousClock.now - lastShown >= .milliseconds(200) else { return }
        lastShown = ContinuousClock.now
        show(count, end: "")
    }

    func finish(_ count: Int) {
        if isVisible { show(count, end: "\n") }
    }

    private func show(_ count: Int, end: String) {
        let elapsed = ContinuousClock.now - start
        let text = "\r\(Self.text(count, of: total, elapsed: elapsed))   \(end)"
        // Nobody to read it any more is no reason to stop.
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
    }

    static func text(_ count: Int, of total: Int?, elapsed: Duration) -> String {
        let rate = Int64(count) * 1000 / max(1, elapsed.milliseconds)
        let text = "\(count) records, \(rate) a second"
        guard let total, total > 0 else { return text }
        let share = min(1, Double(count) / Double(total))
        let filled = Int(share * Double(barWidth))
        let bar = String(repeating: "=", count: filled) + String(repeating: " ", count: barWidth - filled)
        return "[\(bar)] \(Int(share * 100)) %, \(text)"
    }
}
