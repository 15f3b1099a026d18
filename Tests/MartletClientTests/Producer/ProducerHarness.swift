import KafkaProtocol
import NIOCore
import RecordFormat

@testable import MartletClient

/// A producer's core between a caller and brokers that are all made up: time, order and faults come from one seed. What
/// happens on a connection happens in order, as TCP has it; all else may come in any order.
struct ProducerHarness {
    struct Faults {
        /// Of a thousand events each.
        var refusals = 0
        var losses = 0
        var leaderMoves = 0
        var tooLarge = 0
        var connectFailures = 0
        var restarts = 0
    }

    struct Sent {
        let partition: Int
        let value: String
        let delivery: Delivery
    }

    private struct Connection {
        let node: Int32
        let number: Int
        var requests: [(request: BatchRequest, batches: [[UInt8]])] = []
        var replies: [(request: BatchRequest, results: [BatchResult?])] = []
    }

    var core: ProducerCore
    var now = ContinuousClock.now
    var generator: SplitMixGenerator
    var faults: Faults
    let partitionCount: Int
    var logs: [ModelLog]
    var leaders: [Int32]
    var sent: [Sent] = []
    var nextStep: ContinuousClock.Instant?
    private var connections: [Connection] = []
    private var connecting: [(node: Int32, connection: Int)] = []
    /// Partitions that the coordinator is being told of.
    private var partitionsAsked = false
    private var metadataAsked = false
    private var identityAsked = false
    private(set) var identitiesGiven: Int64 = 0
    private let compressor = Compressor()
    private let scratch = ScratchBuffer()
    private(set) var largestInFlight = 0
    /// A batch of more records is too large.
    var recordLimit = Int32.max

    init(seed: UInt64, configuration: ProducerConfiguration, partitionCount: Int = 3, faults: Faults = Faults()) {
        core = ProducerCore(configuration: configuration, seed: seed)
        generator = SplitMixGenerator(state: seed &* 7)
        self.faults = faults
        self.partitionCount = partitionCount
        logs = Array(repeating: ModelLog(), count: partitionCount)
        leaders = (0..<partitionCount).map { Int32($0 % 2) }
    }

    mutating func chance(_ perThousand: Int) -> Bool {
        Int.random(in: 0..<1000, using: &generator) < perThousand
    }

    mutating func append(_ value: String, to partition: Int? = nil, length: Int = 0) throws(ClientError) {
        let text = value + String(repeating: ".", count: length)
        let now = now
        let appended = try Array(text.utf8).span.bytes.withUnsafeBytes { bytes throws(ClientError) in
            try core.append(
                topic: "t", partition: partition.map { Int32($0) },
                record: RecordFields(key: nil, value: bytes, headers: [], timestamp: 5), clock: { now })
        }
        sent.append(
            Sent(
                partition: partition ?? -1, value: text,
                delivery: Delivery(completion: appended.completion, index: appended.index, timestamp: 5)))
    }

    // MARK: What the shell does

    mutating func step() {
        repeat {
            let actions = core.step(now: now)
            for request in actions.requests { send(request) }
            for (completion, outcome) in actions.completions { completion.complete(outcome) }
            connecting += actions.connects
            if actions.metadata != nil { metadataAsked = true }
            if actions.needsIdentity { identityAsked = true }
            if !actions.addPartitions.isEmpty { partitionsAsked = true }
            nextStep = actions.nextStep
        } while core.needsStep
    }

    private mutating func send(_ request: BatchRequest) {
        guard let index = connections.firstIndex(where: { $0.node == request.node && $0.number == request.connection })
        else {
            return core.didLose(request, ClientError(.connectionLost, "lost"), now: now)
        }
        let batches = request.batches.map { batch in
            do {
                try batch.seal(
                    compression: core.configuration.compression, isTransactional: core.isTransactional,
                    compressor: compressor, scratch: scratch)
            } catch {
                preconditionFailure("\(error)")
            }
            return Array(batch.buffer.readableBytesView)
        }
        connections[index].requests.append((request, batches))
        largestInFlight = max(largestInFlight, connections[index].requests.count + connections[index].replies.count)
    }

    // MARK: What the world does

    /// One event of those that may happen now; false when there is none but the passing of time.
    mutating func happen() throws -> Bool {
        let kinds =
            connecting.map { _ in 0 } + (metadataAsked ? [1] : []) + (identityAsked ? [2] : [])
            + (partitionsAsked ? [3] : [])
            + connections.indices.filter { !connections[$0].requests.isEmpty }.map { 10 + $0 }
            + connections.indices.filter { !connections[$0].replies.isEmpty }.map { 1000 + $0 }
        guard let kind = kinds.randomElement(using: &generator) else { return false }
        switch kind {
        case 0: connect()
        case 1: answerMetadata()
        case 2: answerIdentity()
        case 3: answerPartitions()
        case 1000...: reply(kind - 1000)
        default: try process(kind - 10)
        }
        step()
        return true
    }

    private mutating func connect() {
        let (node, number) = connecting.removeFirst()
        guard !chance(faults.connectFailures) else {
            return core.didFailToConnect(node, connection: number, now: now)
        }
        connections.append(Connection(node: node, number: number))
        core.didConnect(node, connection: number)
    }

    private mutating func answerMetadata() {
        metadataAsked = false
        guard !chance(faults.connectFailures) else {
            return core.didLearn(.failure(ClientError(.connectionFailed, "failed")), now: now)
        }
        core.didLearn(.success(metadata()), now: now)
    }

    /// What was written so far is of no interest any more; its offsets are.
    mutating func forgetLogs() {
        for index in logs.indices { logs[index].forgetEntries() }
    }

    func metadata() -> MetadataResponse {
        var topic = MetadataResponse.MetadataResponseTopic()
        topic.name = "t"
        topic.partitions = leaders.enumerated().map { index, leader in
            var partition = MetadataResponse.MetadataResponsePartition()
            partition.partitionIndex = Int32(index)
            partition.leaderId = leader
            return partition
        }
        var response = MetadataResponse()
        response.topics = [topic]
        return response
    }

    private mutating func answerIdentity() {
        identityAsked = false
        guard !chance(faults.connectFailures) else {
            return core.didIdentify(.failure(ClientError(.connectionLost, "lost")), now: now)
        }
        identitiesGiven += 1
        core.didIdentify(.success(ProducerIdentity(id: identitiesGiven, epoch: 0)), now: now)
    }

    private mutating func answerPartitions() {
        partitionsAsked = false
        guard !chance(faults.connectFailures / 10) else {
            return core.didAddPartitions(.failure(ClientError(.timedOut, "late")))
        }
        core.didAddPartitions(.success(()))
    }

    private mutating func process(_ index: Int) throws {
        let (request, batches) = connections[index].requests.removeFirst()
        var results: [BatchResult?] = []
        for (batch, bytes) in zip(request.batches, batches) {
            let partition = Int(batch.completion.partition)
            if chance(faults.leaderMoves) { leaders[partition] = 1 - leaders[partition] }
            if leaders[partition] != request.node {
                results.append(BatchResult(errorCode: ErrorCode.notLeaderOrFollower.rawValue))
            } else if chance(faults.refusals) {
                results.append(BatchResult(errorCode: ErrorCode.notEnoughReplicas.rawValue))
            } else if chance(faults.tooLarge) || batch.recordCount > recordLimit {
                results.append(BatchResult(errorCode: ErrorCode.messageTooLarge.rawValue))
            } else {
                results.append(try logs[partition].append(bytes))
            }
        }
        connections[index].replies.append((request, results))
        if chance(faults.losses) { lose(index) }
        if chance(faults.restarts) {
            for index in logs.indices { logs[index].restart() }
            while !connections.isEmpty { lose(0) }
        }
    }

    /// The connection ends: what the broker has read it may carry out, or not; no reply comes through any more.
    private mutating func lose(_ index: Int) {
        let connection = connections.remove(at: index)
        let error = ClientError(.connectionLost, "lost")
        for (request, _) in connection.replies { core.didLose(request, error, now: now) }
        for (request, _) in connection.requests { core.didLose(request, error, now: now) }
        core.disconnect(connection.node, connection: connection.number, now: now)
    }

    private mutating func reply(_ index: Int) {
        let (request, results) = connections[index].replies.removeFirst()
        core.didReceive(results, for: request, now: now)
    }

    /// Goes on until nothing is on its way any more, or for `limit` of the harness's own time.
    mutating func settle(limit: Duration = .seconds(600)) throws -> Bool {
        let end = now + limit
        core.closeOpenBatches()
        step()
        while !core.unfinished.isEmpty {
            if try happen() { continue }
            guard let nextStep, nextStep < end else { return false }
            now = max(now, nextStep)
            step()
        }
        return true
    }
}
