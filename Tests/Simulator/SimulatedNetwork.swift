import Broker
import KafkaProtocol

/// Somebody who sends: a node or a client.
enum Place: Hashable {
    case node(Int32)
    case client(Int)
}

/// The wires. A connection carries bytes in order or ends; what a wire that is cut should carry waits, as with TCP.
final class SimulatedNetwork {
    struct Link: Hashable {
        var from: Place
        var to: Place
    }

    private unowned let world: World
    /// Ways on which nothing comes through, in one direction.
    var blocked: Set<Link> = []
    private(set) var streams: [Stream] = []

    init(_ world: World) {
        self.world = world
    }

    func isBlocked(_ from: Place, _ to: Place) -> Bool { blocked.contains(Link(from: from, to: to)) }

    /// Connects; nil when the node is not there.
    func connect(_ channel: SimulatedChannel, to nodeId: Int32) -> Stream? {
        guard let life = world.node(nodeId)?.life, life.isServing else { return nil }
        let stream = Stream(world, channel, life)
        streams.append(stream)
        if streams.count > 64 { streams.removeAll { $0.isOver } }
        return stream
    }

    /// The kernel of a machine tells who was connected to a process that is gone; a machine that is gone tells nobody.
    func ended(_ life: Life, silently: Bool) {
        for stream in streams where !stream.isOver {
            if stream.channel.life === life {
                stream.close(byClient: true, tellingOther: !silently)
            } else if stream.server === life {
                stream.close(byClient: false, tellingOther: !silently)
            }
        }
    }
}

/// One end of connections to one node: connects when there is something to send, and again when it was lost.
final class SimulatedChannel: PeerChannel, @unchecked Sendable {
    typealias Completion = @Sendable (PeerOutcome) -> Void

    private struct Request {
        var number: Int
        var bytes: [UInt8]
        var completion: Completion
    }

    private static let connectTimeout: Int64 = .seconds(3)

    private let world: World
    let place: Place
    /// The life of the node that the channel is of; nil for a client's.
    let life: Life?
    private let target: Int32
    private var stream: Stream?
    private var isConnecting = false
    private var isClosed = false
    private var unsent: [Request] = []
    private var unanswered: [Request] = []
    private var nextNumber = 0
    private var nextCorrelationId: Int32 = 0
    private var nextReply: Int32 = 0

    init(_ world: World, from place: Place, life: Life?, to target: Int32) {
        self.world = world
        self.place = place
        self.life = life
        self.target = target
    }

    var timeline: Timeline { world.timeline }

    func send(_ request: [UInt8], timeoutMilliseconds: Int64, _ completion: @escaping Completion) {
        // On a thread of the network's.
        timeline.after(world.habits.taskDelay(), "send", life: life) { [self] in
            guard !isClosed else { return completion(.failed(.notSent("the channel was closed"))) }
            nextNumber += 1
            let number = nextNumber
            timeline.after(.milliseconds(Double(timeoutMilliseconds)), "time-out", life: life) { [self] in
                guard
                    unsent.contains(where: { $0.number == number })
                        || unanswered.contains(where: { $0.number == number })
                else { return }
                drop("no answer in time")
            }
            let entry = Request(number: number, bytes: request, completion: completion)
            if let stream {
                write(entry, to: stream)
            } else {
                unsent.append(entry)
                connect()
            }
        }
    }

    func close() {
        timeline.after(world.habits.taskDelay(), "close", life: life) { [self] in
            isClosed = true
            drop("the channel was closed")
        }
    }

    /// Ends at once and for good, without waiting for a thread.
    func hangUp() {
        isClosed = true
        drop("the client hung up")
    }

    private func connect() {
        guard !isConnecting else { return }
        isConnecting = true
        let there = Place.node(target)
        if world.network.isBlocked(place, there) || world.network.isBlocked(there, place) {
            timeline.after(Self.connectTimeout, "connect-time-out", life: life) { [self] in
                isConnecting = false
                fail("the node cannot be reached")
            }
            return
        }
        timeline.after(world.habits.latency() + world.habits.latency(), "connect", life: life) { [self] in
            isConnecting = false
            guard !isClosed else { return }
            guard let made = world.network.connect(self, to: target) else { return fail("connection refused") }
            stream = made
            nextCorrelationId = 0
            nextReply = 0
            let waiting = unsent
            unsent.removeAll()
            for request in waiting { write(request, to: made) }
        }
    }

    private func write(_ request: Request, to stream: Stream) {
        var bytes = request.bytes
        for byte in 0..<4 { bytes[4 + byte] = UInt8(truncatingIfNeeded: nextCorrelationId >> Int32(24 - 8 * byte)) }
        nextCorrelationId &+= 1
        var entry = request
        entry.bytes = []
        unanswered.append(entry)
        stream.toServer(bytes)
    }

    /// A reply's frame without its length.
    func received(_ frame: [UInt8], on stream: Stream) {
        guard self.stream === stream, !unanswered.isEmpty else { return }
        let correlationId = frame[..<4].reduce(Int32(0)) { $0 << 8 | Int32($1) }
        guard correlationId == nextReply else {
            world.fail("a reply with correlation id \(correlationId) instead of \(nextReply)")
            return
        }
        nextReply &+= 1
        let request = unanswered.removeFirst()
        frame.withUnsafeBytes { request.completion(.reply($0)) }
    }

    func lost(_ stream: Stream) {
        guard self.stream === stream else { return }
        self.stream = nil
        fail("the connection was lost")
    }

    private func drop(_ reason: String) {
        if let dropped = stream {
            stream = nil
            dropped.close(byClient: true, tellingOther: true)
        }
        fail(reason)
    }

    private func fail(_ reason: String) {
        let lost = unanswered
        let waiting = unsent
        unanswered.removeAll()
        unsent.removeAll()
        for request in lost { request.completion(.failed(.noAnswer(reason))) }
        for request in waiting { request.completion(.failed(.notSent(reason))) }
    }
}

/// One connection, both directions.
final class Stream {
    private let world: World
    let channel: SimulatedChannel
    let server: Life
    private let sink: SimulatedSink
    private(set) var isOver = false
    /// When the last that was sent arrives: the next comes after it.
    private var serverArrival: Int64 = 0
    private var clientArrival: Int64 = 0

    init(_ world: World, _ channel: SimulatedChannel, _ server: Life) {
        self.world = world
        self.channel = channel
        self.server = server
        sink = SimulatedSink(server)
        sink.onReply = { [unowned self] in toClient($0) }
        sink.onClose = { [unowned self] in close(byClient: false, tellingOther: true) }
        server.port.deliver(after: 0) { [self] in sink.open(server.nextConnectionId(), server.loop) }
    }

    private var timeline: Timeline { world.timeline }
    private var there: Place { .node(server.node.id) }

    func toServer(_ bytes: [UInt8]) {
        serverArrival = max(serverArrival + 1, timeline.now + world.habits.latency())
        arriveAtServer(bytes)
    }

    private func arriveAtServer(_ bytes: [UInt8]) {
        timeline.after(serverArrival - timeline.now, "request") { [self] in
            guard !isOver else { return }
            // Behind what waits already.
            guard heldForServer.isEmpty, !world.network.isBlocked(channel.place, there) else {
                return waitForServer(bytes)
            }
            server.port.deliver(after: 0) { [self] in sink.received(bytes) }
        }
    }

    private var heldForServer: [[UInt8]] = []
    private var heldForClient: [[UInt8]] = []

    private func waitForServer(_ bytes: [UInt8]) {
        heldForServer.append(bytes)
        guard heldForServer.count == 1 else { return }
        retry("request-retry") { [self] in
            guard !world.network.isBlocked(channel.place, there) else { return false }
            let held = heldForServer
            heldForServer.removeAll()
            for bytes in held { server.port.deliver(after: 0) { [self] in sink.received(bytes) } }
            return true
        }
    }

    private func toClient(_ frame: [UInt8]) {
        clientArrival = max(clientArrival + 1, timeline.now + world.habits.latency())
        timeline.after(clientArrival - timeline.now, "reply", life: channel.life) { [self] in
            guard !isOver else { return }
            guard !world.network.isBlocked(there, channel.place), heldForClient.isEmpty else {
                heldForClient.append(frame)
                guard heldForClient.count == 1 else { return }
                return retry("reply-retry") { [self] in
                    guard !world.network.isBlocked(there, channel.place) else { return false }
                    let held = heldForClient
                    heldForClient.removeAll()
                    for frame in held where !isOver { channel.received(frame, on: self) }
                    return true
                }
            }
            channel.received(frame, on: self)
        }
    }

    private func retry(_ label: StaticString, _ body: @escaping () -> Bool) {
        timeline.after(.milliseconds(50), label) { [self] in
            if !isOver, !body() { retry(label, body) }
        }
    }

    /// Ends the connection. The other end learns of it a little later, or from its next time-out.
    func close(byClient: Bool, tellingOther: Bool) {
        guard !isOver else { return }
        isOver = true
        sink.onReply = { _ in }
        sink.onClose = {}
        if byClient {
            if tellingOther {
                server.port.deliver(after: world.habits.latency()) { [self] in sink.end() }
            } else {
                timeline.after(.seconds(30), "silent-end") { [self] in
                    server.port.deliver(after: 0) { [self] in sink.end() }
                }
            }
        } else {
            server.port.deliver(after: 0) { [self] in sink.end() }
            let delay: Int64 = tellingOther ? world.habits.latency() : timeline.between(1000, 10_000)
            timeline.after(delay, "lost", life: channel.life) { [self] in channel.lost(self) }
        }
    }

    /// Both ends lose it at once; what was under way may have arrived.
    func reset() {
        guard !isOver else { return }
        close(byClient: false, tellingOther: true)
    }
}

/// The server's end of a connection, as the server's handler does it.
final class SimulatedSink: ReplySink {
    private let life: Life
    private var connection: Connection?
    private var waiting: [[UInt8]] = []
    /// Those of this tick, whose bytes are still used.
    private var held: [UnsafeMutableRawBufferPointer] = []
    private var isEnded = false
    var onReply: ([UInt8]) -> Void = { _ in }
    var onClose: () -> Void = {}
    private var isHandling = false

    init(_ life: Life) {
        self.life = life
    }

    deinit {
        for memory in held { memory.deallocate() }
    }

    func open(_ id: UInt64, _ loop: BrokerLoop) {
        let made = Connection(id: id, loop: loop, clientHost: "/127.0.0.1", listener: World.listener, sink: self)
        connection = made
        loop.add(made)
    }

    func received(_ frame: [UInt8]) {
        guard !isEnded else { return }
        waiting.append(frame)
        handleWaiting()
    }

    func end() {
        guard !isEnded else { return }
        isEnded = true
        waiting.removeAll()
        connection?.didClose()
        connection = nil
    }

    private func handleWaiting() {
        guard !isHandling else { return }
        isHandling = true
        defer { isHandling = false }
        while !isEnded, let frame = waiting.first, let connection, connection.acceptsRequests {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 16)
            memory.copyBytes(from: frame)
            held.append(memory)
            if RequestDispatcher.handle(UnsafeRawBufferPointer(memory), from: connection) == .again { return }
            if !waiting.isEmpty { waiting.removeFirst() }
        }
    }

    // MARK: ReplySink

    var unsentBytes: Int { 0 }

    func send(_ replies: ReplyBuffer) {
        var bytes: [UInt8] = []
        var position = 0
        for stretch in replies.stretches {
            bytes += replies.writer.bytes[position..<stretch.position]
            position = stretch.position
            var slice = [UInt8](repeating: 0, count: stretch.slice.length)
            let count = slice.withUnsafeMutableBytes { memory in
                (try? stretch.slice.file.file.read(into: memory, at: stretch.slice.position)) ?? 0
            }
            // Truncated or dead meanwhile: the connection ends, since the length is promised already.
            guard count == slice.count else { return close() }
            bytes += slice
        }
        bytes += replies.writer.bytes[position...]
        var start = 0
        while start < bytes.count {
            let length = Int(bytes[start..<start + 4].reduce(Int32(0)) { $0 << 8 | Int32($1) })
            onReply(Array(bytes[start + 4..<start + 4 + length]))
            start += 4 + length
        }
    }

    func tickEnded() {
        // What is handled below is of the next tick.
        for memory in held { memory.deallocate() }
        held.removeAll()
        handleWaiting()
    }

    func stopReading() {}
    func isIdle(forMilliseconds duration: Int64) -> Bool { false }

    func close() {
        onClose()
    }
}

/// The network as one life of a node sees it.
final class SimulatedPeers: PeerNetwork, @unchecked Sendable {
    private let life: Life

    init(_ life: Life) {
        self.life = life
    }

    func channel(to endpoint: BrokerEndpoint) -> any PeerChannel {
        life.world.plant.wrap(
            SimulatedChannel(life.world, from: .node(life.node.id), life: life, to: endpoint.port), life)
    }
}
