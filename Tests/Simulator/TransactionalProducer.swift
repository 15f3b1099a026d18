import HistoryChecker
import KafkaProtocol
import RecordFormat

/// One transactional id: transactions one after the other, of either version of the protocol, with offsets of a group.
final class TransactionalProducer: Client {
    static let timeoutMilliseconds: Int32 = 10_000
    private static let patience: Int64 = .seconds(15)

    private let id: String
    let group: String
    let source: TopicPartition
    private let partitions: [TopicPartition]
    private var lives = 0
    private var isTwo = false
    private var producerId: Int64 = -1
    private var producerEpoch: Int16 = -1
    private var sequences: [TopicPartition: Int32] = [:]
    private var added: Set<TopicPartition> = []
    private var hasAddedGroup = false
    private var transaction = 0
    private var nextOffset: Int64 = 0
    private var coordinator: Int32?
    private(set) var isIdle = true
    /// How often it does not wait for the answer to a send.
    private let impatience: Double
    /// In this transaction it did not wait for an answer.
    private var hasGivenUp = false
    /// Where a number is to be used again, first of all.
    private var takenBack: TopicPartition?

    init(_ world: World, _ number: Int, _ partitions: [TopicPartition]) {
        self.partitions = partitions
        id = "transactional-\(number)"
        group = "transactional-group-\(number)"
        source = partitions[0]
        impatience = world.timeline.pick([0, 0.1, 0.4])
        super.init(world, id, number)
    }

    private var process: String { "\(name).\(lives)" }

    func start() {
        timeline.after(timeline.between(10, 400), "transact") { [self] in begin() }
    }

    // MARK: Lives

    private func begin() {
        guard !isStopping else { return }
        isIdle = false
        isTwo = timeline.chance(0.5)
        var request = InitProducerIdRequest()
        request.transactionalId = id
        request.transactionTimeoutMs = Self.timeoutMilliseconds
        call(request, 5, code: { $0.errorCode }) { [self] code, response in
            guard code == ErrorCode.none, let response else {
                if let code { world.note("\(process) cannot begin: \(code)") }
                return die()
            }
            producerId = response.producerId
            producerEpoch = response.producerEpoch
            world.invariants.producerIdGiven(producerId, producerEpoch)
            lives += 1
            sequences.removeAll()
            takenBack = nil
            openTransaction()
        }
    }

    /// The next life fences this one.
    private func die() {
        isIdle = true
        start()
    }

    // MARK: Transactions

    private func openTransaction() {
        guard !isStopping else {
            isIdle = true
            return
        }
        isIdle = false
        transaction = world.nextTransaction()
        added.removeAll()
        hasAddedGroup = false
        hasGivenUp = false
        steps(Int.random(in: 1...4, using: &timeline.random))
    }

    private func steps(_ count: Int) {
        timeline.after(timeline.between(1, 200), "transaction-step") { [self] in
            guard count > 0 else { return end(commits: timeline.chance(0.7)) }
            let next = { [self] (isGood: Bool) in
                if isGood {
                    steps(count - 1)
                } else if hasGivenUp {
                    end(commits: false)
                } else {
                    abandon()
                }
            }
            if timeline.chance(0.2) { commitOffset(next) } else { produce(next) }
        }
    }

    private func produce(_ completion: @escaping (Bool) -> Void) {
        let partition = takenBack ?? timeline.pick(partitions)
        takenBack = nil
        add(partition) { [self] isGood in
            guard isGood else { return completion(false) }
            send(to: partition, completion)
        }
    }

    private func add(_ partition: TopicPartition, _ completion: @escaping (Bool) -> Void) {
        guard !isTwo, !added.contains(partition) else { return completion(true) }
        var request = AddPartitionsToTxnRequest()
        request.v3AndBelowTransactionalId = id
        request.v3AndBelowProducerId = producerId
        request.v3AndBelowProducerEpoch = producerEpoch
        request.v3AndBelowTopics = [AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()]
        request.v3AndBelowTopics[0].name = partition.topic
        request.v3AndBelowTopics[0].partitions = [partition.partition]
        call(
            request, 3, code: { $0.resultsByTopicV3AndBelow.first?.resultsByPartition.first?.partitionErrorCode ?? -1 }
        ) {
            [self] code, _ in
            if code == ErrorCode.none { added.insert(partition) }
            completion(code == ErrorCode.none)
        }
    }

    private func send(to partition: TopicPartition, _ completion: @escaping (Bool) -> Void) {
        let value = world.nextValue()
        let sequence = sequences[partition, default: 0]
        sequences[partition] = sequence + 1
        var builder = RecordBatchBuilder(
            attributes: .transactional, producerId: producerId, producerEpoch: producerEpoch, baseSequence: sequence)
        builder.append(
            key: nil, value: Array("\(value)".utf8), timestamp: 1_700_000_000_000 + timeline.now / 1_000_000)
        guard let bytes = try? builder.build() else { preconditionFailure("an uncompressed batch is built") }
        var request = ProduceRequest()
        request.transactionalId = id
        request.acks = world.plant.acks
        request.timeoutMs = 2000
        request.topicData = [ProduceRequest.TopicProduceData()]
        request.topicData[0].name = partition.topic
        request.topicData[0].partitionData = [ProduceRequest.PartitionProduceData()]
        request.topicData[0].partitionData[0].index = partition.partition
        request.topicData[0].partitionData[0].records = bytes
        let invoked = time
        let transaction = transaction
        var isDoubtful = false
        var isOver = false
        func finish(_ outcome: Send.Outcome) {
            isOver = true
            world.history.record(
                process, time: Interval(invoked: invoked, completed: time),
                .send(Send(.number(value), to: partition, transaction: transaction, outcome)))
        }
        if !isTwo, timeline.chance(impatience) {
            // Before an answer can come, or when it is late.
            let patience = timeline.chance(0.7) ? timeline.between(0, 5) : timeline.between(0, 1500)
            timeline.after(patience, "give-up") { [self] in
                guard !isOver else { return }
                finish(.unknown)
                takeBack(sequence, of: partition)
                completion(false)
            }
        }
        retry(until: timeline.now + Self.patience) { [self] done in
            guard !isOver else { return done(true) }
            findLeader(of: partition) { [self] leader in
                guard !isOver else { return done(true) }
                guard let leader else { return done(false) }
                ask(leader, request, isTwo ? 12 : 9) { [self] response in
                    guard !isOver else { return done(true) }
                    let answer = response?.responses.first?.partitionResponses.first
                    let code = answer.map { ErrorCode(rawValue: $0.errorCode) }
                    if code != ErrorCode.none { forgetLeader(of: partition) }
                    switch code {
                    case .some(.none), .duplicateSequenceNumber:
                        let offset = answer!.errorCode == 0 && answer!.baseOffset >= 0 ? answer!.baseOffset : nil
                        finish(.acknowledged(offset: offset))
                        if let offset { world.invariants.acknowledged(partition, below: offset + 1) }
                        done(true)
                        completion(true)
                    case nil, .requestTimedOut, .notEnoughReplicasAfterAppend, .kafkaStorageError, .notLeaderOrFollower:
                        isDoubtful = true
                        done(false)
                    case .some(let code) where Self.isRetriable(code): done(false)
                    case .some(let code):
                        world.note("\(process) is told \(code) for \(partition) sequence \(sequence)")
                        finish(isDoubtful ? .unknown : .refused)
                        done(true)
                        completion(false)
                    }
                }
            }
        } _: { isDone in
            guard !isDone, !isOver else { return }
            finish(.unknown)
            completion(false)
        }
    }

    /// As some clients do that have got no answer and abort: the number is used again in the next transaction, for another
    /// record, though the log may have this one.
    private func takeBack(_ sequence: Int32, of partition: TopicPartition) {
        world.count("numbers taken back")
        hasGivenUp = true
        takenBack = partition
        sequences[partition] = sequence
        // What is still on its way must not arrive in the next transaction: version 1 could not tell them apart.
        hangUp(.ordinary)
    }

    private func commitOffset(_ completion: @escaping (Bool) -> Void) {
        if !isTwo, !hasAddedGroup {
            var request = AddOffsetsToTxnRequest()
            request.transactionalId = id
            request.producerId = producerId
            request.producerEpoch = producerEpoch
            request.groupId = group
            call(request, 3, code: { $0.errorCode }) { [self] code, _ in
                guard code == ErrorCode.none else { return completion(false) }
                hasAddedGroup = true
                commitOffset(completion)
            }
            return
        }
        let limit = world.invariants.committedEnd(of: source)
        guard limit > nextOffset else { return completion(true) }
        let offset = Int64.random(in: nextOffset + 1...limit, using: &timeline.random)
        nextOffset = offset
        var request = TxnOffsetCommitRequest()
        request.transactionalId = id
        request.groupId = group
        request.producerId = producerId
        request.producerEpoch = producerEpoch
        request.topics = [TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()]
        request.topics[0].name = source.topic
        request.topics[0].partitions = [TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()]
        request.topics[0].partitions[0].partitionIndex = source.partition
        request.topics[0].partitions[0].committedOffset = offset
        let invoked = time
        let transaction = transaction
        var isDoubtful = false
        func finish(_ outcome: OffsetCommit.Outcome) {
            world.history.record(
                process, time: Interval(invoked: invoked, completed: time),
                .offsetCommit(OffsetCommit(group, source, offset: offset, transaction: transaction, outcome)))
        }
        retry(until: timeline.now + Self.patience) { [self] done in
            findCoordinator(of: group, type: 0) { [self] node in
                guard let node else { return done(false) }
                ask(node, request, isTwo ? 5 : 3) { [self] response in
                    let code = response?.topics.first?.partitions.first.map { ErrorCode(rawValue: $0.errorCode) }
                    switch code {
                    case .some(.none):
                        finish(.acknowledged)
                        done(true)
                        completion(true)
                    case nil, .requestTimedOut, .kafkaStorageError, .notCoordinator, .coordinatorNotAvailable:
                        isDoubtful = true
                        done(false)
                    case .some(let code) where Self.isRetriable(code): done(false)
                    case .some(let code):
                        world.note("\(process) is told \(code) for the offsets of \(group)")
                        finish(isDoubtful ? .unknown : .refused)
                        done(true)
                        completion(false)
                    }
                }
            }
        } _: { isDone in
            guard !isDone else { return }
            finish(.unknown)
            completion(false)
        }
    }

    /// Something of the transaction is not known: it must not be committed.
    private func abandon() {
        record(.aborted)
        die()
    }

    private func end(commits: Bool) {
        var request = EndTxnRequest()
        request.transactionalId = id
        request.producerId = producerId
        request.producerEpoch = producerEpoch
        request.committed = commits
        let invoked = time
        var isDoubtful = false
        call(request, isTwo ? 5 : 3, code: { $0.errorCode }, undecided: { isDoubtful = true }) {
            [self] code, response in
            switch code {
            case .some(.none):
                record(commits ? .committed : .aborted, since: invoked)
                world.count(commits ? "committed" : "aborted")
                if isTwo, let response {
                    producerId = response.producerId
                    producerEpoch = response.producerEpoch
                    sequences.removeAll()
                }
                goOn()
            case .producerFenced, .invalidProducerEpoch:
                // It may be a coordinator that does not know yet that it has been replaced, and what it says is old.
                record(commits && isDoubtful ? .unknown : .aborted, since: invoked)
                die()
            case .invalidTxnState where added.isEmpty && !hasAddedGroup && !isTwo:
                // Nothing was in it.
                record(.aborted, since: invoked)
                die()
            default:
                world.note("\(process) ends a transaction and is told \(code.map { "\($0)" } ?? "nothing")")
                record(commits ? .unknown : .aborted, since: invoked)
                die()
            }
        }
    }

    /// Who has given up once may have nothing to send for a while, in which nodes stop and start.
    private func goOn() {
        guard hasGivenUp, timeline.chance(0.7) else { return openTransaction() }
        isIdle = true
        timeline.after(timeline.between(1000, 40_000), "transact-again") { [self] in openTransaction() }
    }

    private func record(_ outcome: TransactionEnd.Outcome, since invoked: Int? = nil) {
        world.history.record(
            process, time: Interval(invoked: invoked ?? time, completed: time),
            .transactionEnd(TransactionEnd(transaction, outcome)))
    }

    // MARK: The coordinator

    /// Asks the coordinator until it gives an answer that means something. `undecided` is called when an
    /// attempt was told nothing that it may rely on, and may have been carried out.
    private func call<Request: ProtocolRequest>(
        _ request: Request, _ version: Int16, code: @escaping (Request.Response) -> Int16,
        undecided: @escaping () -> Void = {},
        _ completion: @escaping (ErrorCode?, Request.Response?) -> Void
    ) {
        retry(until: timeline.now + Self.patience) { [self] done in
            let go = { [self] (node: Int32) in
                ask(node, request, version) { [self] response in
                    guard let response else {
                        undecided()
                        coordinator = nil
                        return done(false)
                    }
                    let told = ErrorCode(rawValue: code(response))
                    if told != .none, Self.isRetriable(told) {
                        undecided()
                        coordinator = nil
                        return done(false)
                    }
                    done(true)
                    completion(told, response)
                }
            }
            if let coordinator { return go(coordinator) }
            findCoordinator(of: id, type: 1) { [self] node in
                guard let node else { return done(false) }
                coordinator = node
                go(node)
            }
        } _: { isDone in
            if !isDone { completion(nil, nil) }
        }
    }
}
