import GroupCoordinator

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The regular expressions that clients send, for topics (KIP-848) and transactional ids (KIP-1152), matched by the
/// system's POSIX engine: an automaton whose time is linear in the text's length, so that no client's pattern can hold up
/// the others. Kafka uses RE2 for the same reason.
///
/// RE2's syntax is understood as far as names need it: extended POSIX, `\d`, `\D`, `\w`, `\W` and `(?:…)`. What
/// could cost more than linear time is refused: back references, large repetitions, long patterns.
struct PatternEngine {
    static let maximumPatternLength = 256
    /// Repetitions are copies of the automaton; nested ones multiply.
    static let maximumRepetition = 1000

    /// The texts that the pattern matches from beginning to end; nil when the pattern is not valid.
    func matches(of pattern: String, among texts: some Collection<String>) -> Set<String>? {
        guard let translated = PatternEngine.translate(pattern) else { return nil }
        var expression = regex_t()
        guard regcomp(&expression, "^(" + translated + ")$", REG_EXTENDED | REG_NOSUB) == 0 else { return nil }
        defer { regfree(&expression) }
        return Set(texts.filter { regexec(&expression, $0, 0, nil, 0) == 0 })
    }

    /// The pattern as POSIX writes it; nil when it is not understood or could be costly.
    static func translate(_ pattern: String) -> String? {
        guard !pattern.isEmpty, pattern.utf8.count <= maximumPatternLength else { return nil }
        var result = ""
        var repetition = 1
        var inBrackets = false
        var characters = Array(pattern)[...]
        while let character = characters.popFirst() {
            if inBrackets {
                guard character != "\\" else { return nil }
                result.append(character)
                if character == "]" { inBrackets = false }
                continue
            }
            switch character {
            case "[":
                inBrackets = true
                result.append(character)
                // A bracket that comes first, after ^ even, is a member of the set.
                if characters.first == "^" { result.append(characters.removeFirst()) }
                if characters.first == "]" { result.append(characters.removeFirst()) }
            case "\\":
                guard let escaped = characters.popFirst(), let form = escape(escaped) else { return nil }
                result += form
            case "(":
                result.append(character)
                if characters.starts(with: "?:") {
                    characters.removeFirst(2)
                } else if characters.first == "?" {
                    return nil
                }
            case "{":
                guard let end = characters.firstIndex(of: "}"),
                    let count = largestCount(characters[..<end]), count > 0,
                    case let (product, overflow) = repetition.multipliedReportingOverflow(by: count), !overflow,
                    product <= maximumRepetition
                else { return nil }
                repetition = product
                result += "{" + String(characters[..<end]) + "}"
                characters = characters[(end + 1)...]
            default:
                result.append(character)
            }
        }
        return inBrackets ? nil : result
    }

    private static func escape(_ character: Character) -> String? {
        switch character {
        case "d": "[0-9]"
        case "D": "[^0-9]"
        case "w": "[0-9A-Za-z_]"
        case "W": "[^0-9A-Za-z_]"
        case _ where character.isASCII && !character.isLetter && !character.isNumber: "\\" + String(character)
        default: nil
        }
    }

    /// 3 in `{3}`, 5 in `{2,5}` and 2 in `{2,}`.
    private static func largestCount(_ text: ArraySlice<Character>) -> Int? {
        let parts = String(text).split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count <= 2, let first = Int(parts[0]), first >= 0 else { return nil }
        guard parts.count == 2, !parts[1].isEmpty else { return max(first, 1) }
        return Int(parts[1])
    }
}

extension PatternEngine: TopicPatternMatcher {
    func topics(matching pattern: String, among topics: some Collection<String>) -> Set<String>? {
        matches(of: pattern, among: topics)
    }
}
