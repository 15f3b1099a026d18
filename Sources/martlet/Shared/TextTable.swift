/// A table with aligned columns: numbers to the right, the last column as long as it is.
struct TextTable {
    struct Column {
        let title: String
        let isNumber: Bool

        static func text(_ title: String) -> Column { Column(title: title, isNumber: false) }
        static func number(_ title: String) -> Column { Column(title: title, isNumber: true) }
    }

    let columns: [Column]
    let rows: [[String]]

    init(_ columns: [Column], _ rows: [[String]]) {
        precondition(rows.allSatisfy { $0.count == columns.count })
        self.columns = columns
        self.rows = rows
    }

    /// Lines with their ends. `styled` prints the titles bold.
    func render(styled: Bool) -> String {
        let widths = columns.indices.map { index in
            max(columns[index].title.count, rows.map { $0[index].count }.max() ?? 0)
        }
        let titles = line(columns.map(\.title), widths)
        var text = styled ? "\u{1B}[1m\(titles)\u{1B}[0m\n" : titles + "\n"
        for row in rows { text += line(row, widths) + "\n" }
        return text
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var text = ""
        for (index, cell) in cells.enumerated() {
            if index > 0 { text += "  " }
            let padding = String(repeating: " ", count: widths[index] - cell.count)
            if columns[index].isNumber {
                text += padding + cell
            } else {
                text += index == cells.count - 1 ? cell : cell + padding
            }
        }
        while text.last == " " { text.removeLast() }
        return text
    }
}
