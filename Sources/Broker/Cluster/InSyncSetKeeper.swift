import ClusterMetadata
import KafkaProtocol
import Replication
import Synchronization

/// Looks after the in-sync sets of the partitions that this node leads: who falls behind leaves, who has caught up joins.
/// The controller decides; it is asked with AlterPartition, again and again until the news say what holds.
final class InSyncSetKeeper: Sendable {
    /// How often the partitions are looked at: this is how long a replica that has caught up waits to join.
    private static let checkMilliseconds: Int64 = 100
    private static let timeoutMilliseconds: Int64 = 5000

    private struct Key: Hashable, Sendable {
        var topicId: Uuid
        var partition: Int32
    }

    private struct Question: Sendable {
        var proposal: LeaderReplication.Proposal
        var leader: PartitionLeader
        /// How often it was sent.
        var sendings = 0
    }

    private struct State: Sendable {
        var questions: [Key: Question] = [:]
        var isAsking = false
    }

    private unowned let broker: Broker
    private let queue: any WorkQueue
    private let state = Mutex(State())

    init(broker: Broker) {
        self.broker = broker
        queue = broker.environment.makeQueue("martlet.in-sync-sets")
    }

    func start() {
        queue.schedule(afterMilliseconds: Self.checkMilliseconds) { [self] in
            check()
            start()
        }
    }

    func stop() {
        queue.stop()
    }

    private func check() {
        if broker.logs.health.isOffline { broker.membership.storageFailed() }
        let image = broker.cluster.image
        let now = broker.clock.monotonicMilliseconds
        let lagLimit = broker.configuration.long("replica.lag.time.max.ms")
        var asked: [(key: Key, question: Question)] = []
        for topic in broker.topics.topics.values {
            for case let leader? in topic.leaders {
                let new = leader.propose(now: now, lagLimit: lagLimit) { image.brokers[$0]?.isEligible ?? false }
                guard let proposal = new ?? leader.openProposal else { continue }
                let key = Key(topicId: topic.id, partition: leader.partition)
                asked.append((key, Question(proposal: proposal, leader: leader)))
            }
        }
        let request = state.withLock { state -> [Key: Question] in
            guard !state.isAsking else { return [:] }
            // Questions about proposals that are settled go.
            var next: [Key: Question] = [:]
            for (key, question) in asked {
                var question = question
                if let before = state.questions[key], before.leader === question.leader,
                    before.proposal == question.proposal
                {
                    question.sendings = before.sendings
                }
                question.sendings += 1
                next[key] = question
            }
            state.questions = next
            state.isAsking = !next.isEmpty
            return next
        }
        if !request.isEmpty { ask(request) }
    }

    private func ask(_ questions: [Key: Question]) {
        let controller = broker.cluster.image.controllerId
        guard controller >= 0 else {
            state.withLock { $0.isAsking = false }
            return
        }
        var request = AlterPartitionRequest()
        request.brokerId = broker.cluster.nodeId
        request.brokerEpoch = broker.cluster.image.brokers[broker.cluster.nodeId]?.epoch ?? -1
        request.topics = Dictionary(grouping: questions, by: \.key.topicId).map { topicId, questions in
            var topic = AlterPartitionRequest.TopicData()
            topic.topicId = topicId
            topic.partitions = questions.map { key, question in
                var partition = AlterPartitionRequest.PartitionData()
                partition.partitionIndex = key.partition
                partition.leaderEpoch = question.leader.leaderEpoch
                partition.partitionEpoch = question.proposal.partitionEpoch
                partition.newIsrWithEpochs = question.proposal.members.map { member in
                    var state = AlterPartitionRequest.BrokerState()
                    state.brokerId = member.nodeId
                    // The leader knows its own life, and of a follower the one that fetched.
                    state.brokerEpoch =
                        member.nodeId == request.brokerId ? request.brokerEpoch : member.brokerEpoch
                    return state
                }
                return partition
            }
            return topic
        }
        let answered: @Sendable (Result<AlterPartitionResponse, PeerFailure>) -> Void = { [self] result in
            take(result, questions)
            state.withLock { $0.isAsking = false }
        }
        if controller == broker.cluster.nodeId {
            let own = request
            broker.control.enqueue { [unowned broker] in
                answered(.success(AlterPartitionHandler.alter(own, broker)))
            }
        } else {
            broker.peers.ask(controller, request, timeoutMilliseconds: Self.timeoutMilliseconds, answered)
        }
    }

    private func take(_ result: Result<AlterPartitionResponse, PeerFailure>, _ questions: [Key: Question]) {
        switch result {
        case .failure(let failure):
            broker.logger.debug("in-sync-sets.not-asked", metadata: ["error": "\(failure)"])
        case .success(let response):
            for topic in response.topics {
                for partition in topic.partitions {
                    let key = Key(topicId: topic.topicId, partition: partition.partitionIndex)
                    guard let question = questions[key] else { continue }
                    take(ErrorCode(rawValue: partition.errorCode), question)
                }
            }
        }
    }

    private func take(_ code: ErrorCode, _ question: Question) {
        switch code {
        case .ineligibleReplica, .invalidRequest:
            question.leader.refused(question.proposal, wasSentBefore: question.sendings > 1)
        default:
            // Taken, or outdated: the news will say what holds. Or to be asked again.
            break
        }
    }
}
