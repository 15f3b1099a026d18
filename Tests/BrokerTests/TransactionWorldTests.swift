import BrokerTestSupport
import ClusterMetadata
import CommitLog
import HistoryChecker
import KafkaProtocol
import Testing

@testable import Broker

/// Transactional producers of both versions, two lives of each at a time, late and repeated requests, time-outs,
/// restarts and power failures at random, judged by what clients saw.
@Suite struct TransactionWorldTests {
    @Test(
        "whatever happens, readers see all of what was committed, nothing else, in order", arguments: 0..<12)
    func randomWorlds(_ block: Int) throws {
        var committed = 0
        for seed in UInt64(block * 10)..<UInt64(block * 10 + 10) {
            var world = try TransactionWorld(seed: seed)
            for _ in 0..<200 { try world.step() }
            try world.finish()
            let anomalies = try world.history.anomalies()
            #expect(anomalies.isEmpty, "seed \(seed): \(anomalies)")
            #expect(world.isSettled, "seed \(seed): the last stable offset is stuck")
            committed += world.committed
        }
        #expect(committed > 40, "too little happened")
    }
}

private struct TransactionWorld {
    private static let settings = [
        "transaction.state.log.num.partitions": "2", "offsets.topic.num.partitions": "1",
    ]
    private static let partitions: Int32 = 2
    private static let timeout: Int64 = 60_000

    /// A life of a transactional id.
    private struct Life {
        var client: TransactionalClient
        var name: String
        /// The history's number of the open transaction.
        var transaction: Int?
        var lastTransaction = 0
        /// Sent when its transaction is over: a request that the network held back.
        var late: (request: ProduceRequest, version: Int16, value: Int64, partition: Int32, transaction: Int)?
        /// The last request that was answered, to be sent again.
        var last: (request: ProduceRequest, version: Int16, partition: Int32, offset: Int64)?
        var isDead = false
    }

    private var random: SplitMix64
    private let disk: SimulatedFileSystem
    private let store = MemoryMetadataStore()
    private var fixture: BrokerFixture
    private var lives: [Life] = []
    private var lifeCount = 0
    private var nextValue: Int64 = 0
    private var nextTransaction = 0
    private var positions = [Int64](repeating: 0, count: Int(partitions))
    private(set) var history = History()
    private(set) var committed = 0
    private(set) var isSettled = false

    init(seed: UInt64) throws {
        random = SplitMix64(seed: seed)
        disk = SimulatedFileSystem(seed: seed)
        fixture = try BrokerFixture(fileSystem: disk, store: store, Self.settings)
        try fixture.createTopic("t", partitions: Self.partitions)
    }

    // MARK: Steps

    mutating func step() throws {
        if disk.hasCrashed { try restart(afterPowerFailure: true) }
        let index = lives.isEmpty ? nil : Int.random(in: 0..<lives.count, using: &random)
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<10: begin()
        case 10..<50: if let index { produce(index) }
        case 50..<58: if let index { commitOffset(index) }
        case 58..<78: if let index { end(index) }
        case 78..<84: if let index { sendLate(index) }
        case 84..<88: if let index { try repeatLast(index) }
        case 88..<94: try poll()
        case 94..<96: fixture.clock.advance(milliseconds: .random(in: 1...Self.timeout, using: &random))
        case 96..<98: try restart(afterPowerFailure: false)
        default: disk.crash(atOperation: disk.operationCount + .random(in: 1...40, using: &random))
        }
    }

    /// A new life of one of two transactional ids; at most one older life of it goes on.
    private mutating func begin() {
        let id = "id-\(Int.random(in: 0..<2, using: &random))"
        let version = TransactionalClient.Version.allCases.randomElement(using: &random)!
        let client = TransactionalClient(fixture, id, version)
        guard (try? client.findCoordinator()) == ErrorCode.none,
            (try? client.initialize(timeout: Int32(Self.timeout))) == ErrorCode.none
        else { return }
        // Its successor has ended what the one before had open.
        let predecessors = lives.indices.filter { lives[$0].client.transactionalId == id }
        if predecessors.count == 2 { lives.remove(at: predecessors[0]) }
        lifeCount += 1
        lives.append(Life(client: client, name: "producer-\(lifeCount)"))
    }

    private mutating func transaction(of index: Int) -> Int {
        if let open = lives[index].transaction { return open }
        nextTransaction += 1
        lives[index].transaction = nextTransaction
        lives[index].lastTransaction = nextTransaction
        return nextTransaction
    }

    private mutating func produce(_ index: Int) {
        // A request held back leaves a gap in the sequence, so nothing follows it in its transaction.
        guard !lives[index].isDead,
            lives[index].late == nil || lives[index].late?.transaction != lives[index].transaction
        else { return }
        let client = lives[index].client
        let partition = Int32.random(in: 0..<Self.partitions, using: &random)
        let transaction = transaction(of: index)
        if client.version == .one {
            guard (try? client.add("t", [partition])) == [.none] else {
                lives[index].isDead = true
                return
            }
        }
        nextValue += 1
        let value = nextValue
        guard let batch = try? client.batch("t", partition, ["\(value)"]) else { return }
        let request = client.request("t", partition, batch)
        if lives[index].late == nil, Int.random(in: 0..<8, using: &random) == 0 {
            lives[index].late = (request, client.produceVersion, value, partition, transaction)
            return
        }
        send(index, request, client.produceVersion, value, partition, transaction)
    }

    private mutating func send(
        _ index: Int, _ request: ProduceRequest, _ version: Int16, _ value: Int64, _ partition: Int32,
        _ transaction: Int
    ) {
        let client = lives[index].client
        let answer = try? client.retrying(.notEnoughReplicas) {
            let partition = try client.ask(request, version).responses[0].partitionResponses[0]
            return (ErrorCode(rawValue: partition.errorCode), partition)
        }
        let outcome: Send.Outcome
        switch answer.map({ ErrorCode(rawValue: $0.errorCode) }) {
        case .some(.none):
            outcome = .acknowledged(offset: answer!.baseOffset)
            lives[index].last = (request, version, partition, answer!.baseOffset)
        case nil, .kafkaStorageError, .requestTimedOut:
            outcome = .unknown
            lives[index].isDead = true
        default:
            outcome = .refused
            lives[index].isDead = true
        }
        record(
            index, .send(Send(.number(value), to: TopicPartition("t", partition), transaction: transaction, outcome)))
    }

    private mutating func sendLate(_ index: Int) {
        guard let late = lives[index].late, late.transaction != lives[index].transaction else { return }
        lives[index].late = nil
        let wasDead = lives[index].isDead
        // Version 1 has one epoch for all transactions: what comes late joins the one that is open (KIP-890's reason).
        let transaction = lives[index].client.version == .one ? lives[index].lastTransaction : late.transaction
        send(index, late.request, late.version, late.value, late.partition, transaction)
        // The client does not look at the answer to what it has given up.
        lives[index].isDead = wasDead
    }

    /// What was answered is answered the same again, or refused when its transaction is over.
    private mutating func repeatLast(_ index: Int) throws {
        guard let last = lives[index].last else { return }
        guard let answer = try? lives[index].client.ask(last.request, last.version) else { return }
        let partition = answer.responses[0].partitionResponses[0]
        if partition.errorCode == 0 { #expect(partition.baseOffset == last.offset) }
    }

    private mutating func commitOffset(_ index: Int) {
        guard !lives[index].isDead else { return }
        _ = transaction(of: index)
        let offset = Int64.random(in: 0..<100, using: &random)
        if (try? lives[index].client.commitOffset(offset, of: "t", group: lives[index].client.transactionalId))
            != ErrorCode.none
        {
            lives[index].isDead = true
        }
    }

    private mutating func end(_ index: Int) {
        guard let transaction = lives[index].transaction else { return }
        lives[index].transaction = nil
        let commits = !lives[index].isDead && Int.random(in: 0..<3, using: &random) != 0
        let code = try? lives[index].client.end(commit: commits)
        let outcome: TransactionEnd.Outcome
        switch code {
        case .some(.none):
            outcome = commits ? .committed : .aborted
            if commits { committed += 1 }
        case .producerFenced, .invalidTxnState, .invalidProducerEpoch: outcome = .aborted
        default: outcome = .unknown
        }
        if code != ErrorCode.none { lives[index].isDead = true }
        record(index, .transactionEnd(TransactionEnd(transaction, outcome)))
        if !lives[index].isDead, Int.random(in: 0..<5, using: &random) == 0, lives[index].client.version == .one {
            // The answer was lost, and the client asks again.
            let again = try? lives[index].client.end(commit: commits)
            #expect(again != .invalidTxnState, "to a repeated end")
        }
    }

    private mutating func poll() throws {
        let partition = Int32.random(in: 0..<Self.partitions, using: &random)
        guard let read = try? PartitionView(fixture).read("t", partition, from: positions[Int(partition)]) else {
            return
        }
        positions[Int(partition)] = read.position
        history.record(
            "reader",
            .poll(
                Poll(
                    .readCommitted,
                    read.records.map {
                        Record(TopicPartition("t", partition), offset: $0.offset, value: .number(Int64($0.value)!))
                    })))
    }

    private mutating func record(_ index: Int, _ operation: Operation) {
        history.record(lives[index].name, operation)
    }

    // MARK: Restarts

    private mutating func restart(afterPowerFailure: Bool) throws {
        fixture.broker.quiesce()
        if afterPowerFailure {
            disk.restart()
        } else {
            disk.restartProcess()
        }
        fixture = try BrokerFixture(fileSystem: disk, store: store, clock: fixture.clock, Self.settings)
        for index in lives.indices { lives[index].client = lives[index].client.moved(to: fixture) }
    }

    // MARK: The end

    /// All producers are gone; what they left open times out.
    mutating func finish() throws {
        // Also takes back a power failure that was to come.
        try restart(afterPowerFailure: true)
        fixture.clock.advance(milliseconds: Self.timeout + 1)
        let fixture = fixture
        let leaders = fixture.broker.topics.topic(named: "t")!.leaders.compactMap(\.self)
        func settled() -> Bool {
            leaders.allSatisfy { $0.log.lastStableOffset == $0.log.endOffset && $0.highWatermark == $0.log.endOffset }
        }
        // Timers were set by the clock as it was: each new life looks again, as in a running broker.
        for id in ["id-0", "id-1"] {
            let client = TransactionalClient(fixture, id, .two)
            #expect(try client.findCoordinator() == .none)
            #expect(try client.initialize() == .none)
        }
        fixture.run(until: settled)
        isSettled = settled()
        for partition in 0..<Self.partitions {
            let read = try PartitionView(fixture).read("t", partition)
            history.record(
                "final",
                .finalRead(
                    FinalRead(
                        TopicPartition("t", partition),
                        read.records.map { .init(offset: $0.offset, value: .number(Int64($0.value)!)) },
                        endOffset: read.highWatermark)))
        }
        fixture.broker.quiesce()
    }
}
