import Foundation

/// swift run KafkaProtocolGenerator [--check] [PACKAGE_FOLDER]
///
/// Writes the generated sources, or with `--check` fails when the committed ones differ.
let arguments = CommandLine.arguments.dropFirst()
let isCheck = arguments.contains("--check")
let root = URL(fileURLWithPath: arguments.first { !$0.hasPrefix("--") } ?? FileManager.default.currentDirectoryPath)
let specification = root.appendingPathComponent("Sources/KafkaProtocolGenerator/Specification")
let generated = "Sources/KafkaProtocol/Generated"

func fail(_ reason: String) -> Never {
    FileHandle.standardError.write(Data("KafkaProtocolGenerator: \(reason)\n".utf8))
    exit(1)
}

/// Relative path → content.
func generate() throws -> [String: String] {
    let text = try String(contentsOf: specification.appendingPathComponent("messages.txt"), encoding: .utf8)
    let errors = try String(contentsOf: specification.appendingPathComponent("errors.tsv"), encoding: .utf8)
    let messages = try SpecificationParser.parse(text)
    var files = [
        "\(generated)/ApiKey.swift": TableEmitter.apiKeys(messages),
        "\(generated)/ErrorCodeTable.swift": TableEmitter.errorCodes(errors),
        "Tests/KafkaProtocolTests/Generated/MessageRegistry.swift": TableEmitter.registry(messages),
    ]
    // A request and its response share a file, named after the API.
    for message in messages {
        var name = message.name
        for suffix in ["Request", "Response"] where message.apiKey != nil && name.hasSuffix(suffix) {
            name.removeLast(suffix.count)
        }
        let path = "\(generated)/\(name).swift"
        files[path] = (files[path].map { $0 + "\n" } ?? TableEmitter.banner) + SwiftEmitter.emit(message)
    }
    return files
}

do {
    let files = try generate()
    let folder = root.appendingPathComponent(generated)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let present = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    let stale = present.filter { $0.hasSuffix(".swift") && files["\(generated)/\($0)"] == nil }
    var different: [String] = stale.map { "\(generated)/\($0)" }
    for (path, content) in files {
        let url = root.appendingPathComponent(path)
        if let old = try? String(contentsOf: url, encoding: .utf8), old == content { continue }
        different.append(path)
        if !isCheck {
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try content.write(to: url, atomically: true, encoding: .utf8)
        }
    }
    if isCheck {
        guard different.isEmpty else {
            fail("stale, run `swift run KafkaProtocolGenerator`: \(different.sorted().joined(separator: ", "))")
        }
    } else {
        for name in stale { try FileManager.default.removeItem(at: folder.appendingPathComponent(name)) }
    }
    print("\(files.count) files, \(different.count) \(isCheck ? "stale" : "written")")
} catch {
    fail("\(error)")
}
