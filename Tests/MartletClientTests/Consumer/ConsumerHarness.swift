import KafkaProtocol
import NIOCore

@testable import MartletClient

/// A consumer's core between an application and brokers that are all made up: time, order and faults come from one seed.
struct ConsumerHarness {
    struct Faults {
        /// Of a thousand events each.
        var refusals = 0
        var losses = 0
        var leaderMoves = 0
        var truncations = 0
        var connectFailures = 0
        var lostSessions = 0
        var staleMetadata = 0
    }

    private struct Connection {
        let node: Int32
        let number: Int
        var request: FetchPlan?
        var reply: (FetchPlan, FetchReply)?
    }

    var core: ConsumerCore
    var now = ContinuousClock.now
    var generator: SplitMixGenerator
    var faults: Faults
    var fetchesById = true
    /// What replies say of the quota.
    var throttle = Duration.zero
    var partitions: [ModelPartition]
    /// What the application has, by partition: the values from offset 0 on.
    var consumed: [[String]]
    /// Hand-outs that went back, which only a truncation explains.
    private(set) var returns = 0
    private(set) var largestHeld = 0
    var nextStep: ContinuousClock.Instant?
    private var sessions: [Int32: ModelSessions] = [:]
    private var connections: [Connection] = []
    private var connecting: [(node: Int32, connection: Int)] = []
    private var metadataAsked = false
    private var questions: [OffsetQuestion] = []
    private let preparation = BatchPreparation(checksCRCs: true, decompressedLimit: 1 << 20)

    static func name(_ index: Int) -> TopicPartition { TopicPartition("t", Int32(index)) }

    init(seed: UInt64, configuration: ConsumerConfiguration, partitionCount: Int, faults: Faults) {
        core = ConsumerCore(configuration: configuration, seed: seed)
        generator = SplitMixGenerator(state: seed &* 7)
        self.faults = faults
        partitions = (0..<partitionCount).map { ModelPartition(leader: Int32($0 % 2)) }
        consumed = Array(repeating: [], count: partitionCount)
        for index in 0..<partitionCount { core.add(Self.name(index), .offset(ConsumedOffset(0))) }
    }

    mutating func chance(_ perThousand: Int) -> Bool { Int.random(in: 0..<1000, using: &generator) < perThousand }

    // MARK: What the shell does

    mutating func step() {
        repeat {
            let actions = core.step(now: now)
            for plan in actions.fetches { send(plan) }
            connecting += actions.connects
            if actions.metadata != nil { metadataAsked = true }
            questions += actions.questions
            nextStep = actions.nextStep
        } while core.needsStep
        largestHeld = max(largestHeld, heldBytes)
        precondition(core.bufferedBytes == heldBytes, "the reckoning is right")
        for slot in core.slots { precondition(slot.bufferedBytes == slot.heldChunks.reduce(0) { $0 + $1.byteCount }) }
        precondition(core.reservedBytes == core.nodes.values.reduce(0) { $0 + $1.reserved })
    }

    var heldBytes: Int { core.heldBytes }

    private mutating func send(_ plan: FetchPlan) {
        guard let index = connections.firstIndex(where: { $0.node == plan.node && $0.number == plan.connection })
        else {
            return core.didLose(plan, ClientError(.connectionLost, "lost"), now: now)
        }
        precondition(connections[index].request == nil && connections[index].reply == nil, "one fetch at a time")
        connections[index].request = plan
    }

    // MARK: What the application does

    /// Takes what comes next, if there is something.
    mutating func consume() throws -> Bool {
        core.finishHandedOut()
        guard let taken = core.takeChunk() else { return false }
        let prepared = try preparation.prepare(taken.chunk, of: taken.name)
        let next = ConsumedOffset(prepared.nextOffset, leaderEpoch: prepared.leaderEpoch)
        guard core.didPrepare(taken, next: next, rest: prepared.rest, hasRecords: prepared.batch != nil),
            let batch = prepared.batch
        else { return false }
        let index = Int(batch.partition)
        for record in batch {
            let place = Int(record.offset)
            precondition(place <= consumed[index].count, "nothing is left out")
            if place < consumed[index].count {
                returns += 1
                consumed[index].removeSubrange(place...)
            }
            consumed[index].append(record.value!.string)
        }
        if core.needsStep { step() }
        return true
    }

    // MARK: What the world does

    /// One event of those that may happen now; false when there is none but the passing of time.
    mutating func happen() -> Bool {
        let kinds =
            connecting.map { _ in 0 } + (metadataAsked ? [1] : []) + questions.map { _ in 2 }
            + connections.indices.filter { connections[$0].request != nil }.map { 10 + $0 }
            + connections.indices.filter { connections[$0].reply != nil }.map { 1000 + $0 }
        guard let kind = kinds.randomElement(using: &generator) else { return false }
        change()
        switch kind {
        case 0: connect()
        case 1: answerMetadata()
        case 2: answerQuestion()
        case 1000...: reply(kind - 1000)
        default: process(kind - 10)
        }
        step()
        return true
    }

    private mutating func change() {
        for index in partitions.indices {
            if chance(faults.leaderMoves) { partitions[index].elect(1 - partitions[index].leader) }
            if chance(faults.truncations) {
                partitions[index].elect(
                    1 - partitions[index].leader, withoutLast: Int.random(in: 0..<4, using: &generator))
            }
        }
        for node in sessions.keys where chance(faults.lostSessions) { sessions[node]!.forgetAll() }
    }

    private mutating func connect() {
        let (node, number) = connecting.removeFirst()
        guard !chance(faults.connectFailures) else { return core.disconnect(node, connection: number, now: now) }
        connections.append(Connection(node: node, number: number))
        core.didConnect(node, connection: number)
    }

    private mutating func answerMetadata() {
        metadataAsked = false
        guard !chance(faults.connectFailures) else {
            return core.didLearn(.failure(ClientError(.connectionFailed, "failed")), now: now)
        }
        var topic = MetadataResponse.MetadataResponseTopic()
        topic.name = "t"
        topic.topicId = Uuid(high: 1, low: 2)
        topic.partitions = partitions.enumerated().map { index, model in
            var partition = MetadataResponse.MetadataResponsePartition()
            partition.partitionIndex = Int32(index)
            partition.leaderId = model.leader
            partition.leaderEpoch = model.epoch
            if chance(faults.staleMetadata), model.epoch > 0 {
                partition.leaderId = 1 - model.leader
                partition.leaderEpoch = model.epoch - 1
            }
            return partition
        }
        var response = MetadataResponse()
        response.topics = [topic]
        core.didLearn(.success(response), now: now)
    }

    /// Why the broker does not answer about a partition.
    private mutating func refusal(_ node: Int32, _ index: Int, epoch: Int32) -> ErrorCode {
        if chance(faults.refusals) {
            let codes: [ErrorCode] = [.kafkaStorageError, .unknownServerError, .unknownLeaderEpoch]
            return codes.randomElement(using: &generator)!
        }
        if partitions[index].leader != node { return .notLeaderOrFollower }
        if epoch >= 0, epoch < partitions[index].epoch { return .fencedLeaderEpoch }
        if epoch > partitions[index].epoch { return .unknownLeaderEpoch }
        return .none
    }

    private mutating func answerQuestion() {
        let question = questions.removeFirst()
        guard !chance(faults.losses) else {
            return core.didAnswer(question, .failure(ClientError(.connectionLost, "lost")), now: now)
        }
        let answers = question.entries.map { entry in
            let index = Int(entry.name.partition)
            let code = refusal(question.node, index, epoch: entry.leaderEpoch)
            guard code == .none else {
                return OffsetAnswer(reference: entry.reference, errorCode: code, offset: -1, epoch: -1)
            }
            switch question.kind {
            case .epochEnd:
                let end = partitions[index].endOffset(of: entry.epoch)
                return OffsetAnswer(
                    reference: entry.reference, errorCode: .none, offset: end.offset, epoch: end.epoch)
            case .place:
                return OffsetAnswer(
                    reference: entry.reference, errorCode: .none,
                    offset: entry.position == .earliest ? 0 : partitions[index].end, epoch: -1)
            }
        }
        core.didAnswer(question, .success(answers), now: now)
    }

    private mutating func process(_ place: Int) {
        guard let plan = connections[place].request else { return }
        connections[place].request = nil
        guard !chance(faults.losses) else { return lose(place) }
        let found = sessions[plan.node, default: ModelSessions()].entries(plan)
        var reply = FetchReply()
        reply.throttle = throttle
        // Kafka 2.8 to 3.0 know ids in their metadata, and not yet in Fetch.
        reply.usesIds = plan.usesIds && fetchesById
        reply.errorCode = found.error
        reply.sessionId = found.id
        var left = plan.maximumBytes
        var frame = ByteBuffer()
        var places: [Int: Range<Int>] = [:]
        for entry in found.entries {
            let index = Int(entry.name.partition)
            var partition = FetchReply.Partition()
            partition.index = entry.name.partition
            if reply.usesIds { partition.topicId = entry.topicId } else { partition.topic = entry.name.topic }
            partition.errorCode = refusal(plan.node, index, epoch: entry.leaderEpoch)
            if partition.errorCode == .none, entry.offset > partitions[index].end {
                partition.errorCode = .offsetOutOfRange
            }
            if partition.errorCode == .notLeaderOrFollower, chance(500) {
                partition.currentLeader = partitions[index].leader
                partition.currentLeaderEpoch = partitions[index].epoch
            }
            if partition.errorCode == .none {
                partition.highWatermark = partitions[index].end
                let bytes = partitions[index].read(
                    from: entry.offset, maximumBytes: min(left, core.configuration.maximumPartitionFetchBytes),
                    atLeastOne: left == plan.maximumBytes)
                left -= bytes.count
                if bytes.isEmpty, plan.session.epoch != 0 { continue }
                if !bytes.isEmpty {
                    places[reply.partitions.count] = frame.writerIndex..<frame.writerIndex + bytes.count
                    frame.writeBytes(bytes)
                }
            }
            reply.partitions.append(partition)
        }
        // As on the wire: the records of all partitions lie in one reply.
        reply.frameByteCount = frame.storageCapacity
        for (index, place) in places {
            reply.partitions[index].records = frame.getSlice(at: place.lowerBound, length: place.count)
        }
        connections[place].reply = (plan, reply)
    }

    private mutating func reply(_ place: Int) {
        guard let (plan, reply) = connections[place].reply else { return }
        connections[place].reply = nil
        guard !chance(faults.losses) else { return lose(place, plan) }
        core.didReceive(reply, for: plan, now: now)
    }

    private mutating func lose(_ place: Int, _ plan: FetchPlan? = nil) {
        let connection = connections.remove(at: place)
        if let plan { core.didLose(plan, ClientError(.connectionLost, "lost"), now: now) }
        core.disconnect(connection.node, connection: connection.number, now: now)
    }

    /// Goes on until `condition` holds, for a while at most.
    mutating func pump(_ condition: (ConsumerCore) -> Bool) -> Bool {
        for _ in 0..<1000 {
            if condition(core) { return true }
            if !happen() { now += .milliseconds(5) }
            step()
        }
        return false
    }

    /// Goes on without faults until everything is consumed, or for `limit` of the harness's own time.
    mutating func settle(limit: Duration = .seconds(60)) throws -> Bool {
        faults = Faults()
        let end = now + limit
        step()
        while !partitions.indices.allSatisfy({ consumed[$0] == partitions[$0].values }) {
            core.errors = []
            if try consume() { continue }
            if now > end { return false }
            // Brokers that have nothing answer at once here, so that there is always something that happens.
            now += .milliseconds(1)
            if happen() { continue }
            now += .milliseconds(20)
            step()
        }
        return true
    }
}

extension ConsumerCore {
    /// The memory that the chunks that wait keep from being freed.
    var heldBytes: Int {
        var allocations: [UnsafeMutableRawPointer: Int] = [:]
        for chunk in slots.flatMap(\.heldChunks) {
            chunk.bytes.withUnsafeReadableBytesWithStorageManagement { _, storage in
                allocations[storage.toOpaque()] = chunk.bytes.storageCapacity
            }
        }
        return allocations.values.reduce(0, +)
    }
}
