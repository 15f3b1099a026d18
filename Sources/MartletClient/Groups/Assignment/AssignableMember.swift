/// A member of a classic group, as the assignors see it.
package struct AssignableMember: Sendable, Equatable {
    package var id: String
    package var instanceId: String?
    package var topics: [String]
    /// What the member says it has, or had in `generation`.
    package var owned: [TopicPartition]
    /// The generation of `owned`, -1 when the member does not say.
    package var generation: Int32

    package init(
        id: String, instanceId: String? = nil, topics: [String], owned: [TopicPartition] = [], generation: Int32 = -1
    ) {
        self.id = id
        self.instanceId = instanceId
        self.topics = topics
        self.owned = owned
        self.generation = generation
    }

    /// Static members first, by their instance id, so that a restart changes nothing.
    func precedes(_ other: AssignableMember) -> Bool {
        switch (instanceId, other.instanceId) {
        case (let a?, let b?): a < b
        case (_?, nil): true
        case (nil, _?): false
        case (nil, nil): id < other.id
        }
    }
}
