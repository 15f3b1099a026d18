import Broker
import ClusterMetadata
import CommitLog

/// Bugs that the simulator must find, put in from outside of the production code.
package enum PlantedBug: String, CaseIterable, Sendable {
    /// The controller makes leaders of replicas that are not in the in-sync set.
    case electsOutsideInSyncSet = "elects-outside-in-sync-set"
    /// Leaders answer acks=all before the followers have the records.
    case answersEarly = "answers-early"
    /// Followers keep what differs from their leader's log.
    case skipsTruncation = "skips-truncation"
    /// Nodes take for synced what is not.
    case skipsSync = "skips-sync"
    /// Nodes that lost power do not say what they may have lost.
    case hidesLoss = "hides-loss"
    /// The metadata store carries out what has conditions that do not hold.
    case ignoresConditions = "ignores-conditions"
    /// Nodes are not told of some changes of the metadata.
    case losesNews = "loses-news"
    /// Ends of transactions do not come to the logs of other nodes, though these are said to have them.
    case dropsMarkers = "drops-markers"
}

/// Where a planted bug takes hold.
struct Plant {
    let bug: PlantedBug?

    init(_ bug: PlantedBug?) {
        self.bug = bug
    }

    /// What a producer that wants acks=all asks for.
    var acks: Int16 { bug == .answersEarly ? 1 : -1 }

    var ignoresConditions: Bool { bug == .ignoresConditions }

    /// Whether a node is not told of a change.
    func losesNews(_ timeline: Timeline) -> Bool { bug == .losesNews && timeline.chance(0.2) }

    /// What must be able to fail for the bug to show; nil for whatever the seed says.
    var powerFailures: Nemesis.PowerFailures? { bug == .hidesLoss ? .alone : nil }

    func loss(_ loss: NodeRecord.Loss) -> NodeRecord.Loss { bug == .hidesLoss ? .nothing : loss }

    var topicConfiguration: [(String, String)] {
        bug == .electsOutsideInSyncSet ? [("unclean.leader.election.enable", "true")] : []
    }

    func wrap(_ channel: SimulatedChannel, _ life: Life) -> any PeerChannel {
        switch bug {
        case .skipsTruncation: EpochlessChannel(channel)
        case .dropsMarkers: MarkerlessChannel(channel)
        default: channel
        }
    }

    func wrap(_ synchronizer: SimulatedSynchronizer, _ life: Life) -> any LogSynchronizer {
        if bug == .skipsSync { synchronizer.isLying = true }
        return synchronizer
    }
}
