import CoordinatorCore
import KafkaProtocol

/// The broker's side of one client connection: the replies that it owes, in the order of the requests.
///
/// Confined to its loop's thread.
package final class Connection {
    package let id: UInt64
    package let loop: BrokerLoop
    /// The client's address as Kafka prints it, `/192.0.2.7`.
    package let clientHost: String
    /// The name of the listener that the client connected to; it is told addresses of that one.
    package let listener: String
    package let sink: any ReplySink

    /// Replies in order, complete, to be sent when the tick ends.
    private var output = ReplyBuffer()
    private let limits: BrokerLimits
    /// Replies that wait, or wait behind one that does; empty most of the time.
    private var slots: [ReplySlot] = []
    private var firstSlot: UInt64 = 0
    /// Slots at the front of `slots` that were sent already; removed in bulk.
    private var sentSlots = 0
    /// What the next produce request must know of its transaction.
    private var admission = AdmissionState.notAsked
    var isTouched = false
    private(set) var isClosed = false

    private enum AdmissionState {
        case notAsked
        case asked
        case answered(ProduceAdmission)
    }

    package init(id: UInt64, loop: BrokerLoop, clientHost: String, listener: String, sink: any ReplySink) {
        self.id = id
        self.loop = loop
        self.clientHost = clientHost
        self.listener = listener
        self.sink = sink
        limits = loop.broker.limits
    }

    /// Whether another request may be taken now, or the client must first read some replies.
    package var acceptsRequests: Bool {
        if case .asked = admission { return false }
        return waitingReplies < limits.queuedRequests
            && output.byteCount + sink.unsentBytes < limits.queuedResponseBytes
    }

    var waitingReplies: Int { slots.count - sentSlots }

    // MARK: Transactions

    /// Whether the produce request at hand has been asked for at its transaction's coordinator.
    var hasAdmission: Bool {
        if case .answered = admission { return true }
        return false
    }

    func takeAdmission() -> ProduceAdmission? {
        guard case .answered(let answer) = admission else { return nil }
        admission = .notAsked
        return answer
    }

    /// Asks for a produce request. No more requests are taken until the answer is here; then the same request must be
    /// handled again.
    func ask(_ question: ProduceAdmission, version: Int16, clientId: String?) {
        admission = .asked
        let loop = loop
        let id = id
        let context = CoordinatorRequestContext(
            apiVersion: version, clientId: clientId ?? "", clientHost: clientHost)
        question.ask(loop.broker, context) { answer in
            let deliver: @Sendable () -> Void = {
                guard let connection = loop.connection(id) else { return }
                connection.admission = .answered(answer)
                loop.touch(connection)
            }
            if loop.port.isCurrent { deliver() } else { loop.port.execute(deliver) }
        }
    }

    // MARK: Replies that are ready at once

    /// Where a reply's bytes are, so that they can still be changed before the tick ends.
    struct ReplyPlace {
        /// nil: in the output itself.
        var slot: UInt64?
    }

    /// Writes a reply at its place in the order.
    func reply(_ write: (inout ReplyBuffer) -> Void) {
        if waitingReplies == 0 {
            write(&output)
        } else {
            var buffer = ReplyBuffer()
            write(&buffer)
            appendSlot(ReplySlot(buffer: buffer, state: .ready))
        }
        loop.touch(self)
    }

    /// As `reply`, for replies that are patched later in this tick. When `isHeld`, the reply is not sent before
    /// `complete`.
    func patchableReply(
        isHeld: Bool, _ slotState: ReplySlot.State, _ write: (inout ReplyBuffer) -> Void
    ) -> ReplyPlace {
        loop.touch(self)
        if waitingReplies == 0 && !isHeld {
            write(&output)
            return ReplyPlace(slot: nil)
        }
        var buffer = ReplyBuffer()
        write(&buffer)
        return ReplyPlace(slot: appendSlot(ReplySlot(buffer: buffer, state: slotState)))
    }

    func withReply(at place: ReplyPlace, _ body: (inout ReplyBuffer) -> Void) {
        if let slot = place.slot {
            guard let index = index(of: slot) else { return }
            body(&slots[index].buffer)
        } else {
            body(&output)
        }
    }

    // MARK: Replies that wait

    /// Keeps the place of a reply that will come later.
    func reserve(_ state: ReplySlot.State) -> UInt64 {
        loop.touch(self)
        return appendSlot(ReplySlot(buffer: ReplyBuffer(), state: state))
    }

    /// What the slot waits for; nil when it was completed or the connection was closed.
    func state(of slot: UInt64) -> ReplySlot.State? {
        guard let index = index(of: slot) else { return nil }
        if case .ready = slots[index].state { return nil }
        return slots[index].state
    }

    /// The reply is there. With `buffer` nil it is the one that the slot holds already.
    func complete(_ slot: UInt64, with buffer: ReplyBuffer? = nil) {
        guard let index = index(of: slot) else { return }
        if let buffer { slots[index].buffer = buffer }
        if case .produce = slots[index].state { loop.pendingProduces -= 1 }
        slots[index].state = .ready
        loop.touch(self)
    }

    private func index(of slot: UInt64) -> Int? {
        guard slot >= firstSlot else { return nil }
        let index = Int(slot - firstSlot)
        return index >= sentSlots && index < slots.count ? index : nil
    }

    @discardableResult
    private func appendSlot(_ slot: ReplySlot) -> UInt64 {
        slots.append(slot)
        if case .produce = slot.state { loop.pendingProduces += 1 }
        return firstSlot + UInt64(slots.count - 1)
    }

    // MARK: Sending

    /// Sends what is ready, in order. Called by the loop at a tick's end.
    func flush() {
        while sentSlots < slots.count, case .ready = slots[sentSlots].state {
            output.append(slots[sentSlots].buffer)
            slots[sentSlots].buffer = ReplyBuffer()
            sentSlots += 1
        }
        if sentSlots > 0 && (sentSlots == slots.count || sentSlots >= 64) {
            slots.removeFirst(sentSlots)
            firstSlot += UInt64(sentSlots)
            sentSlots = 0
        }
        if !output.isEmpty {
            sink.send(output)
            output.removeAll()
        }
        sink.tickEnded()
    }

    /// Ends the connection because of what the peer sent; the reason is logged, once.
    package func close(because reason: String) {
        guard !isClosed else { return }
        isClosed = true
        loop.broker.logger.info(
            "connection.closed", metadata: ["client": "\(clientHost)", "reason": "\(reason)"])
        sink.close()
    }

    /// The connection is gone; what waited on it is forgotten.
    package func didClose() {
        isClosed = true
        for index in sentSlots..<slots.count {
            switch slots[index].state {
            case .fetch(let fetch): fetch.stopWaiting(connection: self, slot: firstSlot + UInt64(index))
            case .produce: loop.pendingProduces -= 1
            case .elsewhere, .ready: break
            }
        }
        slots.removeAll()
        sentSlots = 0
        loop.remove(self)
    }
}

/// A reply that is not sent yet.
struct ReplySlot {
    enum State {
        case ready
        /// A produce request whose partitions are not all where `acks` wants them.
        case produce(PendingProduce)
        /// A fetch that waits for more bytes.
        case fetch(PendingFetch)
        /// The answer is being made elsewhere: on the control thread, or by a coordinator.
        case elsewhere
    }

    var buffer: ReplyBuffer
    var state: State
}

/// Where replies go: the transport's side of a connection.
package protocol ReplySink: AnyObject {
    /// Bytes handed over that the client has not read.
    var unsentBytes: Int { get }
    func send(_ replies: ReplyBuffer)
    /// The batches of this tick are written: the memory of its frames is not needed any more.
    func tickEnded()
    /// Takes no more requests.
    func stopReading()
    /// Whether nothing came or went for so long.
    func isIdle(forMilliseconds duration: Int64) -> Bool
    func close()
}
