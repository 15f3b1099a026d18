import ClusterMetadata
import CommitLog
import Configuration
import KafkaProtocol
import Replication

/// What a fetcher asks for.
extension ReplicaFetcher {
    /// nil when there is nothing to ask for now.
    func request(
        _ state: inout State, _ configuration: BrokerConfiguration, _ now: Int64
    ) -> FetchRequest? {
        var wanted = 0
        var request = FetchRequest()
        request.replicaState.replicaId = broker.cluster.nodeId
        request.replicaState.replicaEpoch = broker.cluster.image.brokers[broker.cluster.nodeId]?.epoch ?? -1
        request.minBytes = Int32(configuration.int("replica.fetch.min.bytes"))
        request.maxBytes = Int32(configuration.int("replica.fetch.response.max.bytes"))
        request.sessionId = state.session.id
        request.sessionEpoch = state.session.epoch
        let partitionBytes = Int32(configuration.int("replica.fetch.max.bytes"))
        var wait = configuration.long("replica.fetch.wait.max.ms")
        var topics: [Uuid: [FetchRequest.FetchPartition]] = [:]
        for (key, entry) in state.entries {
            guard entry.delayedUntil <= now else {
                wait = min(wait, entry.delayedUntil - now)
                if entry.inSession != nil {
                    state.forgotten.append(key)
                    state.entries[key]?.inSession = nil
                }
                continue
            }
            let log = entry.follower.log
            if log.waitsForSync && log.durableOffset < log.endOffset || log.health.isOffline {
                // What is asked for next is what this node claims to have kept. It came in between, or the sync failed.
                wait = min(wait, Self.firstBackoffMilliseconds)
                if entry.inSession != nil {
                    state.forgotten.append(key)
                    state.entries[key]?.inSession = nil
                }
                continue
            }
            wanted += 1
            let asked = Asked(
                offset: log.endOffset, lastEpoch: log.latestEpoch, leaderEpoch: entry.follower.leaderEpoch,
                logStart: log.startOffset)
            guard asked != entry.inSession || state.session.epoch == 0 else { continue }
            state.entries[key]?.inSession = asked
            var partition = FetchRequest.FetchPartition()
            partition.partition = key.partition
            partition.currentLeaderEpoch = asked.leaderEpoch
            partition.fetchOffset = asked.offset
            partition.lastFetchedEpoch = asked.lastEpoch
            partition.logStartOffset = asked.logStart
            partition.partitionMaxBytes = partitionBytes
            topics[key.topicId, default: []].append(partition)
        }
        guard wanted > 0 else { return nil }
        request.maxWaitMs = Int32(wait)
        request.topics = topics.map { id, partitions in
            var topic = FetchRequest.FetchTopic()
            topic.topicId = id
            topic.partitions = partitions
            return topic
        }
        if state.session.epoch > 0 {
            // A partition that came back in between is asked for again.
            let gone = state.forgotten.filter { state.entries[$0]?.inSession == nil }
            request.forgottenTopicsData = Dictionary(grouping: gone, by: \.topicId).map { id, keys in
                var topic = FetchRequest.ForgottenTopic()
                topic.topicId = id
                topic.partitions = keys.map(\.partition)
                return topic
            }
        }
        state.forgotten.removeAll()
        return request
    }
}
