/// One configuration as data. `DescribeConfigs`, `--help`, the documentation and validation all come from this.
package struct ConfigurationDefinition: Sendable {
    /// What the configuration is about.
    package enum Scope: Sendable { case broker, topic }

    /// When a change takes effect.
    package enum Update: Sendable {
        /// Only when the broker starts.
        case atStart
        /// At run time, through IncrementalAlterConfigs.
        case atRunTime
    }

    package let name: String
    package let scope: Scope
    package let type: ConfigurationType
    /// As a user would write it; nil where there is none.
    package let defaultValue: String?
    package let update: Update
    /// The broker's configuration that is the default of this topic configuration.
    package let brokerName: String?
    /// One line.
    package let summary: String
    /// Why the default is not Kafka's, where it is not.
    package let departure: String?
    /// A name that Kafka has and that changes nothing here; the text says why.
    package let withoutEffect: String?

    package init(
        _ name: String, _ scope: Scope, _ type: ConfigurationType, default defaultValue: String?,
        update: Update = .atStart, brokerName: String? = nil, departure: String? = nil, withoutEffect: String? = nil,
        _ summary: String
    ) {
        self.name = name
        self.scope = scope
        self.type = type
        self.defaultValue = defaultValue
        self.update = update
        self.brokerName = brokerName
        self.summary = summary
        self.departure = departure
        self.withoutEffect = withoutEffect
    }
}

/// A configuration's type with its bounds.
package enum ConfigurationType: Sendable {
    case boolean
    /// Int32 with Kafka's `int`, Int64 with `long`.
    case int(ClosedRange<Int64>)
    case long(ClosedRange<Int64>)
    case short(ClosedRange<Int64>)
    case double(ClosedRange<Double>)
    case string
    case choice([String])
    /// A comma-separated list; `of` limits the elements when it is not empty.
    case list(of: [String])

    package static let anyInt = ConfigurationType.int(Int64(Int32.min)...Int64(Int32.max))
    package static let positiveInt = ConfigurationType.int(1...Int64(Int32.max))
    package static let naturalInt = ConfigurationType.int(0...Int64(Int32.max))
    package static let anyLong = ConfigurationType.long(Int64.min...Int64.max)
    package static let positiveLong = ConfigurationType.long(1...Int64.max)
    package static let naturalLong = ConfigurationType.long(0...Int64.max)

    /// The number that DescribeConfigs uses for the type.
    package var protocolNumber: Int8 {
        switch self {
        case .boolean: 1
        case .string, .choice: 2
        case .int: 3
        case .short: 4
        case .long: 5
        case .double: 6
        case .list: 7
        }
    }

    package var name: String {
        switch self {
        case .boolean: "boolean"
        case .string, .choice: "string"
        case .int: "int"
        case .short: "short"
        case .long: "long"
        case .double: "double"
        case .list: "list"
        }
    }

    /// What is wrong with the value, or nil when it is valid.
    package func objection(to value: String) -> String? {
        switch self {
        case .boolean:
            return ["true", "false"].contains(value.lowercased()) ? nil : "must be true or false"
        case .int(let range), .long(let range), .short(let range):
            guard let number = Int64(value) else { return "must be a whole number" }
            return range.contains(number) ? nil : "must be \(describe(range))"
        case .double(let range):
            guard let number = Double(value) else { return "must be a number" }
            return range.contains(number) ? nil : "must be between \(range.lowerBound) and \(range.upperBound)"
        case .string:
            return nil
        case .choice(let choices):
            return choices.contains(value) ? nil : "must be one of \(choices.joined(separator: ", "))"
        case .list(let choices):
            guard !choices.isEmpty else { return nil }
            for element in ConfigurationType.elements(of: value) where !choices.contains(element) {
                return "'\(element)' is none of \(choices.joined(separator: ", "))"
            }
            return nil
        }
    }

    private func describe(_ range: ClosedRange<Int64>) -> String {
        let hasUpper = range.upperBound < Int64(Int32.max) || (range.upperBound < Int64.max && !isInt)
        return hasUpper ? "between \(range.lowerBound) and \(range.upperBound)" : "at least \(range.lowerBound)"
    }

    private var isInt: Bool {
        if case .int = self { return true }
        return false
    }

    /// The elements of a list value, without blanks.
    package static func elements(of value: String) -> [String] {
        value.split(separator: ",").map { element in
            String(element.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }.filter { !$0.isEmpty }
    }
}
