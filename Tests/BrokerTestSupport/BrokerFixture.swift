import Broker
import ClusterMetadata
import CommitLog
import Configuration
import Foundation
import KafkaProtocol
import Logging
import RecordFormat
import Synchronization

/// A broker on the simulated file system, its one loop and its clock moved by hand.
///
/// Requests go in as bytes and replies come out as bytes, through the same code as on a network.
package final class BrokerFixture {
    package let fileSystem: any FileSystem
    package let clock: ManualClock
    package let port = ManualPort()
    package let broker: Broker
    package let loop: BrokerLoop
    private var connections: [ManualSink] = []

    package init(
        fileSystem: any FileSystem = SimulatedFileSystem(seed: 1), store: MemoryMetadataStore = MemoryMetadataStore(),
        clock: ManualClock = ManualClock(), _ settings: [String: String] = [:]
    ) throws {
        self.fileSystem = fileSystem
        self.clock = clock
        let configuration = try BrokerConfiguration(
            propertiesText: nil, overrides: settings.map { "\($0.key)=\($0.value)" })
        let cluster = try ClusterState(store: store, nodeId: 1, newClusterId: { "AAAAAAAAAAAAAAAAAAAAAQ" })
        if cluster.isNew { try cluster.establish() }
        cluster.register(
            BrokerRegistration(
                nodeId: 1,
                endpoints: [BrokerRegistration.Endpoint(listener: "PLAINTEXT", host: "localhost", port: 9092)],
                rack: nil))
        let image = cluster.image
        let (logs, _) = try LogDirectory.open(
            LogDirectory.Opening(
                path: "data", fileSystem: fileSystem, clusterId: image.clusterId, nodeId: 1,
                configuration: { name in
                    LogConfiguration(
                        TopicConfiguration(
                            image.topic(named: name.topic)?.configuration ?? .init(), broker: configuration),
                        isInternal: InternalTopic.names.contains(name.topic), broker: configuration)
                },
                now: clock.wallMilliseconds))
        broker = try Broker(
            Broker.Parts(
                configuration: configuration, cluster: cluster, logs: logs,
                environment: BrokerEnvironment(clock: clock, peers: NoPeers()),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        loop = BrokerLoop(broker: broker, port: port)
        broker.start()
    }

    /// Makes a topic without going through a request.
    @discardableResult
    package func createTopic(_ name: String, partitions: Int32 = 1, _ configuration: [String: String] = [:]) throws
        -> TopicMetadata
    {
        var topic = NewTopic(name: name, partitionCount: partitions, replicationFactor: 1)
        topic.configuration = configuration.map { ($0.key, $0.value) }
        return try broker.topicService.create(topic)
    }

    /// The simulated file system, to make it fail.
    package var simulated: SimulatedFileSystem {
        guard let simulated = fileSystem as? SimulatedFileSystem else {
            preconditionFailure("this broker has another file system")
        }
        return simulated
    }

    package func connect() -> ManualSink {
        let sink = ManualSink()
        sink.connection = Connection(
            id: UInt64(connections.count + 1), loop: loop, clientHost: "/127.0.0.1", listener: "PLAINTEXT", sink: sink)
        loop.add(sink.connection)
        connections.append(sink)
        return sink
    }

    /// Runs what waits on the loop, and waits for work that other threads do, until the condition holds.
    package func run(until condition: () -> Bool = { true }) {
        let end = Date().addingTimeInterval(10)
        repeat {
            port.runAll()
            if condition() { return }
            Thread.sleep(forTimeInterval: 0.001)
        } while Date() < end
    }
}

/// Time that stands still until it is moved.
package final class ManualClock: BrokerClock {
    package init() {}

    private let now = Atomic<Int64>(1_700_000_000_000)

    package var wallMilliseconds: Int64 { now.load(ordering: .relaxed) }
    package var monotonicNanoseconds: Int64 { now.load(ordering: .relaxed) * 1_000_000 }

    package func advance(milliseconds: Int64) {
        now.wrappingAdd(milliseconds, ordering: .relaxed)
    }
}

/// A loop that runs when it is told to.
package final class ManualPort: EventLoopPort {
    package init() {}

    private let tasks = Mutex<[@Sendable () -> Void]>([])
    private let timers = Mutex<[@Sendable () -> Void]>([])
    private let owner = ObjectIdentifier(Thread.current)

    package var isCurrent: Bool { ObjectIdentifier(Thread.current) == owner }

    package func execute(_ task: @escaping @Sendable () -> Void) {
        tasks.withLock { $0.append(task) }
    }

    package func schedule(afterNanoseconds delay: Int64, _ task: @escaping @Sendable () -> Void) {
        timers.withLock { $0.append(task) }
    }

    package func runAll() {
        while true {
            let ready = tasks.withLock { tasks in
                defer { tasks.removeAll() }
                return tasks
            }
            if ready.isEmpty { return }
            for task in ready { task() }
        }
    }

    /// Runs the timers that were set, whatever their time.
    package func fireTimers() {
        let due = timers.withLock { timers in
            defer { timers.removeAll() }
            return timers
        }
        for timer in due { timer() }
    }
}

/// A client's end of a connection.
package final class ManualSink: ReplySink {
    package init() {}

    package var connection: Connection!
    package var received: [UInt8] = []
    package private(set) var isClosed = false
    package var unsentBytes = 0
    /// Those of this tick, whose bytes are still used.
    private var frames: [[UInt8]] = []
    /// Those that the connection does not take yet.
    private var waiting: [[UInt8]] = []
    private var correlationId: Int32 = 0

    package func send(_ replies: ReplyBuffer) {
        var position = 0
        for stretch in replies.stretches {
            received += replies.writer.bytes[position..<stretch.position]
            position = stretch.position
            var bytes = [UInt8](repeating: 0, count: stretch.slice.length)
            let count = bytes.withUnsafeMutableBytes { memory in
                (try? stretch.slice.file.file.read(into: memory, at: stretch.slice.position)) ?? 0
            }
            received += bytes[..<count]
        }
        received += replies.writer.bytes[position...]
    }

    package func tickEnded() {
        frames.removeAll()
        handleWaiting()
    }
    package func stopReading() {}
    package func isIdle(forMilliseconds duration: Int64) -> Bool { false }
    package func close() { isClosed = true }

    /// Sends a request; the bytes stay where they are until the tick ends.
    @discardableResult
    package func send<Request: ProtocolRequest>(_ request: Request, version: Int16) -> Int32 {
        correlationId += 1
        var writer = ByteWriter()
        writer.write(Request.apiKey.rawValue)
        writer.write(version)
        writer.write(correlationId)
        writer.nullableString("test", flexible: false)
        if version >= Request.firstFlexibleVersion { writer.noTaggedFields() }
        request.encode(to: &writer, version: version)
        send(frame: writer.bytes)
        return correlationId
    }

    package func send(frame: [UInt8]) {
        waiting.append(frame)
        handleWaiting()
    }

    private func handleWaiting() {
        while let frame = waiting.first, connection.acceptsRequests {
            frames.append(frame)
            let outcome = frames[frames.count - 1].withUnsafeBytes { bytes in
                RequestDispatcher.handle(bytes, from: connection)
            }
            if outcome == .again { return }
            waiting.removeFirst()
        }
    }

    /// Takes the next reply that arrived, as what it answers.
    package func reply<Response: ProtocolResponse>(_ type: Response.Type, version: Int16) throws -> (
        correlationId: Int32, Response
    )? {
        guard received.count >= 4 else { return nil }
        let length = Int(received[..<4].reduce(Int32(0)) { $0 << 8 | Int32($1) })
        guard received.count >= 4 + length else { return nil }
        let frame = Array(received[4..<4 + length])
        received.removeFirst(4 + length)
        var start = 4
        if version >= Response.apiKey.firstFlexibleVersion && Response.apiKey != .apiVersions { start += 1 }
        let correlationId = frame[..<4].reduce(Int32(0)) { $0 << 8 | Int32($1) }
        return (correlationId, try Response.decode(Array(frame[start...]), version: version))
    }
}

package enum Batch {
    /// A batch of records with these values.
    package static func of(
        _ values: [String], producerId: Int64 = -1, epoch: Int16 = -1, sequence: Int32 = -1,
        timestamp: Int64 = 1_700_000_000_000
    ) throws -> [UInt8] {
        var builder = RecordBatchBuilder(producerId: producerId, producerEpoch: epoch, baseSequence: sequence)
        for value in values { builder.append(key: nil, value: Array(value.utf8), timestamp: timestamp) }
        return try builder.build()
    }

    package static func produce(_ topic: String, _ batches: [(partition: Int32, bytes: [UInt8])], acks: Int16 = -1)
        -> ProduceRequest
    {
        var request = ProduceRequest()
        request.acks = acks
        request.timeoutMs = 1000
        var data = ProduceRequest.TopicProduceData()
        data.name = topic
        data.partitionData = batches.map { batch in
            var partition = ProduceRequest.PartitionProduceData()
            partition.index = batch.partition
            partition.records = batch.bytes
            return partition
        }
        request.topicData = [data]
        return request
    }

    package static func fetch(
        _ topic: String, offset: Int64, partition: Int32 = 0, wait: Int32 = 0, minBytes: Int32 = 1
    ) -> FetchRequest {
        var request = FetchRequest()
        request.maxWaitMs = wait
        request.minBytes = minBytes
        request.maxBytes = 1 << 20
        var asked = FetchRequest.FetchTopic()
        asked.topic = topic
        var single = FetchRequest.FetchPartition()
        single.partition = partition
        single.fetchOffset = offset
        single.partitionMaxBytes = 1 << 20
        asked.partitions = [single]
        request.topics = [asked]
        return request
    }

    /// The values in the records of a fetch reply.
    package static func values(_ response: FetchResponse) throws -> [String] {
        let bytes = response.responses.first?.partitions.first?.records ?? []
        var values: [String] = []
        try bytes.withUnsafeBytes { memory in
            let reader = RecordBatchReader()
            var position = 0
            while let header = RecordBatchHeader(UnsafeRawBufferPointer(rebasing: memory[position...])),
                header.totalLength <= memory.count - position
            {
                let batch = UnsafeRawBufferPointer(rebasing: memory[position..<position + header.totalLength])
                for record in try reader.records(of: batch) {
                    values.append(String(decoding: record.value ?? [], as: UTF8.self))
                }
                position += header.totalLength
            }
        }
        return values
    }
}
