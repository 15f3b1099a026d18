import CommitLog
import KafkaProtocol
import Logging
import Replication

/// Works what a fetch brought into one follower's log. The log refuses all of it when this node has another role by then.
struct PartitionFetch {
    let follower: PartitionFollower
    let broker: Broker

    /// Why the partition cannot go on for now; nil when it can.
    func work(in part: ReplicaFetchReply.Partition, _ bytes: UnsafeRawBufferPointer) -> String? {
        let now = broker.clock.wallMilliseconds
        do {
            switch part.error {
            case .none:
                if let diverging = part.diverging {
                    try truncate(epoch: diverging.epoch, endOffset: diverging.endOffset, now: now)
                    return nil
                }
                if !part.records.isEmpty {
                    try follower.log.appendAsFollower(
                        UnsafeRawBufferPointer(rebasing: bytes[part.records]), epoch: follower.leaderEpoch, now: now)
                }
                follower.committed(to: part.highWatermark)
                if part.logStartOffset > follower.log.startOffset, part.logStartOffset <= follower.highWatermark {
                    try follower.log.deleteRecords(before: part.logStartOffset, now: now)
                }
                return nil
            case .offsetOutOfRange where part.logStartOffset >= 0:
                // What would come next here is not there any more, or never was: all that there is comes from the start.
                broker.logger.warning(
                    "replica.restarted",
                    metadata: [
                        "partition": "\(follower.log.name)", "end": "\(follower.log.endOffset)",
                        "leader.start": "\(part.logStartOffset)",
                    ])
                try follower.log.restart(at: part.logStartOffset, asFollowerIn: follower.leaderEpoch, now: now)
                return nil
            default:
                return "\(part.error)"
            }
        } catch {
            return "\(error)"
        }
    }

    /// The leader has other records from some offset on: those here were never committed and go. `epoch` is the leader's
    /// largest that is not above this log's last one, and `endOffset` where it ends there.
    private func truncate(epoch: Int32, endOffset: Int64, now: Int64) throws(LogError) {
        let log = follower.log
        let local = log.endOffset(forEpoch: epoch)
        let target = min(endOffset, local?.startOffset ?? endOffset, log.endOffset)
        let end = log.endOffset
        let level: Logger.Level = target < log.highWatermark ? .critical : .notice
        let highWatermark = log.highWatermark
        try log.truncate(to: max(target, 0), asFollowerIn: follower.leaderEpoch, now: now)
        broker.logger.log(
            level: level, "replica.truncated",
            metadata: [
                "partition": "\(log.name)", "from": "\(end)", "to": "\(log.endOffset)",
                "high.watermark": "\(highWatermark)",
            ])
    }
}
