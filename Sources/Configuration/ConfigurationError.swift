/// A configuration that cannot be used, in one line that says what to do.
package struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }

    /// An unknown name, with the nearest known one when it is near.
    package static func unknownName(_ name: String, among names: some Sequence<String>) -> ConfigurationError {
        // Names come from clients too: what is longer than any name is not compared, nor repeated whole.
        guard name.utf8.count <= 64 else {
            return ConfigurationError("there is no configuration '\(name.prefix(64))…'")
        }
        let nearest = names.map { (name: $0, distance: editDistance(name, $0)) }.min { $0.distance < $1.distance }
        if let nearest, nearest.distance <= max(2, name.utf8.count / 4) {
            return ConfigurationError("there is no configuration '\(name)'; did you mean '\(nearest.name)'?")
        }
        return ConfigurationError("there is no configuration '\(name)'; `martlet server --help-configs` lists them all")
    }

    /// Levenshtein's distance.
    private static func editDistance(_ left: String, _ right: String) -> Int {
        let left = Array(left.utf8)
        let right = Array(right.utf8)
        var row = Array(0...right.count)
        for (i, character) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in right.enumerated() {
                let substitution = diagonal + (character == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substitution, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
