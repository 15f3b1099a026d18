/// The topics that a group reads; their offsets are neither deleted nor expired.
enum TopicsInUse: Equatable {
    case some(Set<String>)
    /// Nobody can tell which, so all are protected.
    case all

    func contains(_ topic: String) -> Bool {
        switch self {
        case .some(let topics): return topics.contains(topic)
        case .all: return true
        }
    }
}

extension GroupCoordinatorShard {
    func topicsInUse(by groupId: String) -> TopicsInUse {
        classicGroups[groupId]?.topicsInUse ?? consumerGroups[groupId]?.topicsInUse ?? .some([])
    }
}
