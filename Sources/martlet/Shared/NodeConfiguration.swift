import Configuration
import Foundation

/// A node's configuration from a command's options.
enum NodeConfiguration {
    static func read(
        file: String?, overrides: [String], data: String?, listen: String?
    ) throws -> BrokerConfiguration {
        var text: String?
        if let file {
            do {
                text = try String(contentsOfFile: file, encoding: .utf8)
            } catch {
                throw ConfigurationError("cannot read \(file): \(error.localizedDescription)")
            }
        }
        var overrides = overrides
        if let data { overrides.append("log.dirs=\(data)") }
        if let listen { overrides.append("listeners=PLAINTEXT://\(listen)") }
        return try BrokerConfiguration(propertiesText: text, fileName: file ?? "", overrides: overrides)
    }
}
