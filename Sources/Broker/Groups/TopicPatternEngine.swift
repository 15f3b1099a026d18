import Foundation
import GroupCoordinator

/// The regular expressions of `SubscribedTopicRegex`. Kafka uses RE2, whose syntax this understands but for what both
/// engines write differently; a name matches as a whole. Patterns and names are short, and their length is limited,
/// which bounds what a hostile pattern costs.
struct TopicPatternEngine: TopicPatternMatcher {
    static let maximumPatternLength = 256

    func topics(matching pattern: String, among topics: some Collection<String>) -> Set<String>? {
        guard pattern.utf8.count <= TopicPatternEngine.maximumPatternLength,
            let expression = try? NSRegularExpression(pattern: "^(?:" + pattern + ")$")
        else { return nil }
        var matching = Set<String>()
        for topic in topics {
            let range = NSRange(location: 0, length: topic.utf16.count)
            if expression.firstMatch(in: topic, range: range) != nil { matching.insert(topic) }
        }
        return matching
    }
}
