/// Regular expressions over topics' names, where the client matches them and not the broker.
enum TopicPattern {
    /// Those whose whole name the pattern matches. Throws `invalidArgument` for what is no regular expression.
    static func matches(of pattern: String, among names: [String]) throws(ClientError) -> Set<String> {
        do {
            let expression = try Regex(pattern)
            return Set(try names.filter { try expression.wholeMatch(in: $0) != nil })
        } catch {
            throw ClientError(
                .invalidArgument, "the pattern '\(pattern)' of topics is not a regular expression (\(error))")
        }
    }
}
