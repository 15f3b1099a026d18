import Foundation
import Testing

/// The repository's own rules, checked by a machine.
@Suite struct TidyTests {
    /// What each module may import of this package, as ARCHITECTURE.md says.
    private static let allowedImports: [String: Set<String>] = [
        "KafkaProtocol": [],
        "KafkaProtocolGenerator": [],
        "Configuration": [],
        "RecordFormat": ["CChecksum", "CZstd", "CLZ4", "CSnappy", "CZlib"],
        "CommitLog": ["CChecksum", "RecordFormat"],
        "CoordinatorCore": ["KafkaProtocol"],
        "GroupCoordinator": ["CoordinatorCore", "KafkaProtocol"],
        "TransactionCoordinator": ["CoordinatorCore", "KafkaProtocol"],
        "ClusterMetadata": ["KafkaProtocol", "Configuration"],
        "Replication": ["CommitLog"],
        "Broker": [
            "KafkaProtocol", "RecordFormat", "CommitLog", "Configuration", "CoordinatorCore", "GroupCoordinator",
            "TransactionCoordinator", "ClusterMetadata", "Replication",
        ],
        "EtcdMetadata": ["ClusterMetadata"],
        "MartletServer": [
            "KafkaProtocol", "CommitLog", "Configuration", "ClusterMetadata", "EtcdMetadata", "Broker",
        ],
        "MartletClient": ["KafkaProtocol", "RecordFormat"],
        "MartletTesting": [
            "KafkaProtocol", "RecordFormat", "CommitLog", "Configuration", "CoordinatorCore", "GroupCoordinator",
            "TransactionCoordinator", "ClusterMetadata", "Replication", "Broker", "MartletServer",
        ],
        "martlet": [
            "KafkaProtocol", "RecordFormat", "CommitLog", "Configuration", "GroupCoordinator", "Broker",
            "MartletServer",
            "MartletClient",
        ],
    ]

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private func files(below folder: String, ending: String) -> [URL] {
        let path = TidyTests.root.appendingPathComponent(folder)
        guard let walk = FileManager.default.enumerator(at: path, includingPropertiesForKeys: nil) else { return [] }
        return walk.compactMap { $0 as? URL }.filter { $0.lastPathComponent.hasSuffix(ending) }
    }

    @Test("modules import only what stands below them")
    func imports() throws {
        var seen = 0
        for (module, allowed) in TidyTests.allowedImports {
            for file in files(below: "Sources/\(module)", ending: ".swift") {
                for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
                    guard line.hasPrefix("import ") || line.hasPrefix("@testable import ") else { continue }
                    let name = String(line.split(separator: " ").last!)
                    let isOurs = TidyTests.allowedImports[name] != nil || name.hasPrefix("CZ") || name == "CChecksum"
                    guard isOurs else { continue }
                    #expect(allowed.contains(name), "\(file.lastPathComponent) of \(module) imports \(name)")
                    seen += 1
                }
            }
        }
        #expect(seen > 50)
    }

    @Test("every module is in the table")
    func modules() throws {
        let sources = TidyTests.root.appendingPathComponent("Sources").path
        let modules = try FileManager.default.contentsOfDirectory(atPath: sources)
        for module in modules where !module.hasPrefix("C") || module.hasPrefix("Cl") || module.hasPrefix("Co") {
            #expect(TidyTests.allowedImports[module] != nil, "\(module)")
        }
    }

    @Test("the broker's core knows no network library, and the state machines no clock or thread")
    func purity() throws {
        for file in files(below: "Sources/Broker", ending: ".swift") {
            #expect(
                !(try String(contentsOf: file, encoding: .utf8)).contains("import NIO"), "\(file.lastPathComponent)")
        }
        let machines = ["CoordinatorCore", "GroupCoordinator", "TransactionCoordinator"]
        for file in machines.flatMap({ files(below: "Sources/\($0)", ending: ".swift") }) {
            let text = try String(contentsOf: file, encoding: .utf8)
            for banned in [
                "import Foundation", "import Dispatch", "import Glibc", "Mutex", "async ", "ContinuousClock",
            ] {
                #expect(!text.contains(banned), "\(file.lastPathComponent) uses \(banned)")
            }
        }
    }

    @Test("no marks of unfinished work, no forced tries, no files that nothing needs")
    func leftovers() throws {
        for file in files(below: "Sources", ending: ".swift") {
            let text = try String(contentsOf: file, encoding: .utf8)
            #expect(!text.isEmpty && file.lastPathComponent != "Placeholder.swift", "\(file.path)")
            for mark in ["TO" + "DO", "FIX" + "ME", "X" + "XX", "try! "] {
                #expect(!text.contains(mark), "\(file.lastPathComponent) contains \(mark)")
            }
        }
    }

    @Test("the example of MartletTesting is a test that runs")
    func testingExample() throws {
        func text(_ path: String) throws -> String {
            try String(contentsOf: TidyTests.root.appendingPathComponent(path), encoding: .utf8)
        }
        let test = try text("Tests/MartletTestingTests/ReadmeTests.swift")
        let begin = try #require(test.range(of: "// snippet: begin\n"))
        let end = try #require(test.range(of: "// snippet: end"))
        let snippet = String(test[begin.upperBound..<end.lowerBound])
        #expect(snippet.contains("withBroker"))
        for document in ["README.md", "Sources/MartletTesting/Documentation.docc/MartletTesting.md"] {
            #expect(try text(document).contains(snippet), "\(document)")
        }
    }

    @Test("every handler has a file of its own name")
    func handlers() throws {
        for file in files(below: "Sources/Broker/Handlers", ending: ".swift") {
            let name = file.deletingPathExtension().lastPathComponent
            #expect(try String(contentsOf: file, encoding: .utf8).contains("enum \(name)Handler"), "\(name)")
        }
    }
}
