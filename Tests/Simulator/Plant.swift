import Broker
import ClusterMetadata
import CommitLog
import KafkaProtocol

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
}

/// Where a planted bug takes hold.
struct Plant {
    let bug: PlantedBug?

    init(_ bug: PlantedBug?) {
        self.bug = bug
    }

    /// What a producer that wants acks=all asks for.
    var acks: Int16 { bug == .answersEarly ? 1 : -1 }

    /// What must be able to fail for the bug to show; nil for whatever the seed says.
    var powerFailures: Nemesis.PowerFailures? { bug == .hidesLoss ? .alone : nil }

    func loss(_ loss: NodeRecord.Loss) -> NodeRecord.Loss { bug == .hidesLoss ? .nothing : loss }

    var topicConfiguration: [(String, String)] {
        bug == .electsOutsideInSyncSet ? [("unclean.leader.election.enable", "true")] : []
    }

    func wrap(_ channel: SimulatedChannel, _ life: Life) -> any PeerChannel {
        bug == .skipsTruncation ? EpochlessChannel(channel) : channel
    }

    func wrap(_ synchronizer: SimulatedSynchronizer, _ life: Life) -> any LogSynchronizer {
        if bug == .skipsSync { synchronizer.isLying = true }
        return synchronizer
    }
}

/// Takes the last epoch out of followers' fetches, so that the leader cannot see where the logs part.
private final class EpochlessChannel: PeerChannel {
    private let channel: SimulatedChannel

    init(_ channel: SimulatedChannel) {
        self.channel = channel
    }

    func send(
        _ request: [UInt8], timeoutMilliseconds: Int64, _ completion: @escaping @Sendable (PeerOutcome) -> Void
    ) {
        channel.send(changed(request), timeoutMilliseconds: timeoutMilliseconds, completion)
    }

    func close() { channel.close() }

    private func changed(_ frame: [UInt8]) -> [UInt8] {
        guard frame[0] == 0, frame[1] == UInt8(FetchRequest.apiKey.rawValue) else { return frame }
        let version = Int16(frame[2]) << 8 | Int16(frame[3])
        let headerEnd = 10 + (Int(frame[8]) << 8 | Int(frame[9])) + 1
        guard var request = try? FetchRequest.decode(Array(frame[headerEnd...]), version: version) else {
            preconditionFailure("a node sent a fetch that cannot be read")
        }
        for topic in request.topics.indices {
            for partition in request.topics[topic].partitions.indices {
                request.topics[topic].partitions[partition].lastFetchedEpoch = -1
            }
        }
        var writer = ByteWriter()
        writer.bytes = Array(frame[..<headerEnd])
        request.encode(to: &writer, version: version)
        return writer.bytes
    }
}
