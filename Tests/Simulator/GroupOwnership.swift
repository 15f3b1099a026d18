import HistoryChecker

/// Which partitions the living members of a group take for theirs: nobody is to have one that another has in the same
/// generation, and nobody's commits are to be accepted once another has it.
final class GroupOwnership {
    private struct Claim {
        var process: String
        /// The group's generation, or the member's epoch, when it was told so.
        var generation: Int32
        var since: Int
    }

    private let group: String
    private unowned let world: World
    private var claims: [TopicPartition: [Claim]] = [:]

    init(_ group: String, _ world: World) {
        self.group = group
        self.world = world
    }

    /// A member has these and no others.
    func assigned(_ partitions: [TopicPartition], to process: String, generation: Int32, at time: Int) {
        ended(process)
        for partition in partitions {
            for claim in claims[partition] ?? [] where claim.generation == generation {
                world.fail(
                    "\(process) and \(claim.process) of \(group) both have \(partition) in generation \(generation)")
            }
            claims[partition, default: []].append(Claim(process: process, generation: generation, since: time))
        }
    }

    func released(_ partitions: [TopicPartition], by process: String) {
        for partition in partitions { claims[partition]?.removeAll { $0.process == process } }
    }

    func ended(_ process: String) {
        for partition in claims.keys { claims[partition]!.removeAll { $0.process == process } }
    }

    /// In which the member was told that it has the partition; -1 when it does not have it.
    func generation(of partition: TopicPartition, in process: String) -> Int32 {
        claims[partition]?.first { $0.process == process }?.generation ?? -1
    }

    /// A commit was asked for then, by a member that had the partition in this generation, and acknowledged.
    func accepted(_ partition: TopicPartition, of process: String, in own: Int32, invoked: Int) {
        for claim in claims[partition] ?? []
        where claim.process != process && claim.generation > own && claim.since < invoked {
            world.fail(
                "\(group) accepts a commit of \(partition) by \(process), though \(claim.process) has it in generation "
                    + "\(claim.generation)")
        }
    }

    /// The one member that takes the partition for its own; nil when there is none, or several.
    func owner(of partition: TopicPartition) -> String? {
        guard let claims = claims[partition], claims.count == 1 else { return nil }
        return claims[0].process
    }
}
