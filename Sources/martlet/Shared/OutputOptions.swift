import ArgumentParser

/// How a command prints its data.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON for programs instead of tables for people.")
    var json = false

    /// Prints rows as JSON, one object a line, or as a table.
    func print(_ rows: [JSONValue], table: @autoclosure () -> TextTable, none: String) {
        if json {
            Swift.print(JSONValue.array(rows).documentText)
        } else if rows.isEmpty {
            Terminal.note(none)
        } else {
            Swift.print(table().render(styled: Terminal.usesColour), terminator: "")
        }
    }
}
