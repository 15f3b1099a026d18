import Foundation
import KafkaProtocol
import Testing

@testable import Broker

@Suite struct CompatibilityTests {
    @Test("COMPATIBILITY.md says which APIs and versions there are")
    func table() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("COMPATIBILITY.md")
        let rows = try String(contentsOf: path, encoding: .utf8).split(separator: "\n").compactMap {
            line -> [String]? in
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            return cells.count >= 3 && Int(cells[0]) != nil ? Array(cells[..<3]) : nil
        }
        let expected = SupportedApis.all.sorted { $0.apiKey.rawValue < $1.apiKey.rawValue }.map { entry in
            let name = "\(entry.apiKey)"
            let versions = entry.versions
            return [
                "\(entry.apiKey.rawValue)", name.prefix(1).uppercased() + name.dropFirst(),
                versions.count == 1 ? "\(versions.lowerBound)" : "\(versions.lowerBound)-\(versions.upperBound)",
            ]
        }
        #expect(rows == expected)
    }
}
