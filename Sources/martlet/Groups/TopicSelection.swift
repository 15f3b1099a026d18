import ArgumentParser

/// `TOPIC` or `TOPIC:0,1,2` on the command line.
struct TopicSelection: ExpressibleByArgument, Equatable {
    let topic: String
    /// nil: all of them.
    let partitions: [Int32]?

    init?(argument: String) {
        guard let colon = argument.firstIndex(of: ":") else {
            guard !argument.isEmpty else { return nil }
            topic = argument
            partitions = nil
            return
        }
        topic = String(argument[..<colon])
        let parts = argument[argument.index(after: colon)...].split(separator: ",", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { Int32($0) }
        guard !topic.isEmpty, numbers.count == parts.count, numbers.allSatisfy({ $0 >= 0 }) else { return nil }
        partitions = numbers
    }
}
