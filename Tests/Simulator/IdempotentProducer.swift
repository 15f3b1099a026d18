import HistoryChecker
import KafkaProtocol
import RecordFormat

/// Sends to partitions at acks=all with sequence numbers, and tries again until the delivery time-out.
final class IdempotentProducer: Client {
    private static let deliveryTimeout: Int64 = .seconds(25)

    private struct Batch {
        var partition: TopicPartition
        var values: [Int64]
        var bytes: [UInt8]
        var invoked: Int
        /// Whether an attempt may have come through without an answer.
        var isDoubtful = false
    }

    private let partitions: [TopicPartition]
    private var session = 0
    private var producerId: Int64 = -1
    private var producerEpoch: Int16 = -1
    private var sequences: [TopicPartition: Int32] = [:]
    private var inFlight: Set<TopicPartition> = []
    /// Sequence numbers are not known any more: a new producer id is needed.
    private var isBroken = true
    private let pace: Double

    init(_ world: World, _ number: Int, _ partitions: [TopicPartition]) {
        self.partitions = partitions
        pace = world.timeline.pick([20, 100, 400])
        super.init(world, "producer-\(number)", number)
    }

    func start() {
        timeline.after(timeline.between(1, pace), "produce") { [self] in
            defer { start() }
            guard !isStopping else { return }
            if isBroken {
                if inFlight.isEmpty { begin() }
                return
            }
            let free = partitions.filter { !inFlight.contains($0) }
            if !free.isEmpty { produce(to: timeline.pick(free)) }
        }
    }

    var isIdle: Bool { inFlight.isEmpty && !isBeginning }

    private var isBeginning = false

    private func begin() {
        guard !isBeginning else { return }
        isBeginning = true
        var request = InitProducerIdRequest()
        request.transactionalId = nil
        request.transactionTimeoutMs = 60_000
        ask(anyNode(), request, 4) { [self] response in
            isBeginning = false
            guard let response, response.errorCode == 0 else { return }
            producerId = response.producerId
            producerEpoch = response.producerEpoch
            world.invariants.producerIdGiven(producerId, producerEpoch)
            sequences.removeAll()
            session += 1
            isBroken = false
        }
    }

    private func produce(to partition: TopicPartition) {
        let count = Int.random(in: 1...3, using: &timeline.random)
        let values = (0..<count).map { _ in world.nextValue() }
        let sequence = sequences[partition, default: 0]
        sequences[partition] = sequence + Int32(count)
        var builder = RecordBatchBuilder(
            producerId: producerId, producerEpoch: producerEpoch, baseSequence: sequence)
        for value in values {
            builder.append(
                key: nil, value: Array("\(value)".utf8), timestamp: 1_700_000_000_000 + timeline.now / 1_000_000)
        }
        guard let bytes = try? builder.build() else { preconditionFailure("an uncompressed batch is built") }
        inFlight.insert(partition)
        var batch = Batch(partition: partition, values: values, bytes: bytes, invoked: time)
        let process = "\(name).\(session)"
        retry(until: timeline.now + Self.deliveryTimeout) { [self] done in
            attempt(batch) { [self] asked, code, offset in
                switch code {
                case nil, .requestTimedOut, .notEnoughReplicasAfterAppend, .kafkaStorageError, .notLeaderOrFollower:
                    batch.isDoubtful = true
                    done(false)
                case .some(.none):
                    finish(batch, process, .acknowledged(offset: offset))
                    done(true)
                case .duplicateSequenceNumber:
                    finish(batch, process, .acknowledged(offset: nil))
                    done(true)
                case .some(let code) where Self.isRetriable(code): done(false)
                case .outOfOrderSequenceNumber, .unknownProducerId:
                    // Who led before and does not know it yet lacks what was sent since.
                    guard let asked, world.invariants.isLeader(asked, of: partition) else { return done(false) }
                    world.fail("\(process) sends \(partition) sequence \(sequence) and is told \(code!)")
                    done(true)
                case .some(let code):
                    world.note("\(process) is told \(code) for \(partition)")
                    isBroken = true
                    finish(batch, process, batch.isDoubtful ? .unknown : .refused)
                    done(true)
                }
            }
        } _: { [self] isDone in
            guard !isDone else { return }
            isBroken = true
            finish(batch, process, .unknown)
        }
    }

    private func attempt(_ batch: Batch, _ completion: @escaping (Int32?, ErrorCode?, Int64) -> Void) {
        findLeader(of: batch.partition) { [self] leader in
            guard let leader else { return completion(nil, .leaderNotAvailable, -1) }
            var request = ProduceRequest()
            request.acks = world.plant.acks
            request.timeoutMs = 2000
            request.topicData = [ProduceRequest.TopicProduceData()]
            request.topicData[0].name = batch.partition.topic
            request.topicData[0].partitionData = [ProduceRequest.PartitionProduceData()]
            request.topicData[0].partitionData[0].index = batch.partition.partition
            request.topicData[0].partitionData[0].records = batch.bytes
            ask(leader, request, 9) { [self] response in
                guard let answer = response?.responses.first?.partitionResponses.first else {
                    forgetLeader(of: batch.partition)
                    return completion(leader, nil, -1)
                }
                if answer.errorCode != 0 { forgetLeader(of: batch.partition) }
                completion(leader, ErrorCode(rawValue: answer.errorCode), answer.baseOffset)
            }
        }
    }

    private func finish(_ batch: Batch, _ process: String, _ outcome: Send.Outcome) {
        inFlight.remove(batch.partition)
        for (index, value) in batch.values.enumerated() {
            var own = outcome
            if case .acknowledged(let offset?) = outcome {
                own = .acknowledged(offset: offset < 0 ? nil : offset + Int64(index))
            }
            world.history.record(
                process, time: Interval(invoked: batch.invoked, completed: time),
                .send(Send(.number(value), to: batch.partition, own)))
        }
        if case .acknowledged(let offset) = outcome {
            world.count("acknowledged", batch.values.count)
            if let offset, offset >= 0 {
                world.invariants.acknowledged(batch.partition, below: offset + Int64(batch.values.count))
            }
        } else {
            world.count("unacknowledged", batch.values.count)
        }
    }
}
