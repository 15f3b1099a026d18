import CommitLog
import CoordinatorCore
import KafkaProtocol
import RecordFormat
import Replication

/// Produce: records into partitions.
///
/// The one request that is decoded by hand: no struct, array or string is made of it, and its batches stay in the
/// frame until the tick's end, when `PartitionLeader.append` writes all that the tick collected for a partition at once.
/// The reply is written here with the outcome still open and completed by `ProduceCompletion`.
enum ProduceHandler {
    static let versions = ProduceRequest.validVersions

    /// A batch that passed its checks, before the whole request is known to be well-formed.
    struct Staged {
        var append: PendingAppend
        /// Kept alive by the loop's topic table, which does not change while a request is handled.
        unowned(unsafe) var leader: PartitionLeader
        /// Where in the reply the partition's outcome stands.
        var position: Int
        var index: Int32
    }

    static func handle(
        _ frame: UnsafeRawBufferPointer, _ bytes: RawSpan, at cursor: inout ByteCursor, _ header: RequestHeader,
        from connection: Connection
    ) throws(ProtocolDecodingError) -> RequestOutcome {
        let loop = connection.loop
        let flexible = header.apiVersion >= ProduceRequest.firstFlexibleVersion
        let transactionalId = try cursor.range(bytes, flexible: flexible, isString: true)
        if let transactionalId, !connection.hasAdmission {
            func question() throws(ProtocolDecodingError) -> ProduceAdmission? {
                try ProduceAdmission(
                    frame, bytes, from: cursor, transactionalId: transactionalId, version: header.apiVersion,
                    topics: loop.topics)
            }
            var open = try question()
            if open != nil && loop.hasPendingAppends {
                // What came before in this tick may open the transaction.
                loop.flushAppends()
                open = try question()
            }
            if let open {
                let clientId = header.clientId.map { String(decoding: frame[$0], as: UTF8.self) }
                connection.ask(open, version: header.apiVersion, clientId: clientId)
                guard connection.hasAdmission else { return .again }
            }
        }
        let admission = connection.takeAdmission()
        let acks = try cursor.int16(bytes)
        let timeout = try cursor.int32(bytes)
        var request = Request(
            loop: loop, frame: frame, version: header.apiVersion, flexible: flexible, acks: acks,
            isTransactional: transactionalId != nil, admission: admission, listener: connection.listener)

        let pending = acks == -1 ? PendingProduce(version: header.apiVersion, start: loop.tickStart) : nil
        var failure: ProtocolDecodingError?
        func write(_ buffer: inout ReplyBuffer) {
            let reply = buffer.beginFrame(correlationId: header.correlationId, flexibleHeader: flexible)
            do throws(ProtocolDecodingError) {
                try request.readTopics(RawSpan(_unsafeBytes: frame), at: &cursor, into: &buffer.writer)
            } catch {
                failure = error
            }
            buffer.endFrame(reply)
        }

        var place: Connection.ReplyPlace?
        if acks == 0 {
            var unsent = ReplyBuffer()
            write(&unsent)
        } else {
            let state = pending.map { ReplySlot.State.produce($0) } ?? .ready
            place = connection.patchableReply(isHeld: pending != nil, state, write)
        }
        if let failure {
            loop.staged.removeAll(keepingCapacity: true)
            throw failure
        }

        pending?.expect(loop.staged)
        for staged in loop.staged {
            let origin = AppendOrigin(
                connection: connection, place: place, position: staged.position, version: header.apiVersion,
                pending: pending, index: staged.index)
            loop.enqueue(staged.append, to: staged.leader, origin: origin)
        }
        loop.staged.removeAll(keepingCapacity: true)
        if pending == nil { loop.metrics.immediate(.produce, error: .none) }

        if let pending, let slot = place?.slot {
            if pending.remaining == 0 {
                loop.metrics.immediate(.produce, error: .none)
                connection.complete(slot)
            } else {
                let deadline = loop.tickStart + Int64(max(0, timeout)) * 1_000_000
                loop.setDeadline(deadline, connection: connection.id, slot: slot)
            }
        }
        if acks == 0, request.refused > 0 {
            // Kafka's way to tell a producer that asked for no reply.
            connection.close(because: "a produce request with acks=0 was refused: \(request.lastRefusal)")
        }
        return .done
    }

    /// The walk over one request's topics and partitions.
    private struct Request {
        let loop: BrokerLoop
        let frame: UnsafeRawBufferPointer
        let version: Int16
        let flexible: Bool
        let acks: Int16
        /// Whether the request has a transactional id.
        let isTransactional: Bool
        /// What the transaction's coordinator said; nil when it needed not be asked.
        let admission: ProduceAdmission?
        let listener: String
        var refused = 0
        var lastRefusal = ErrorCode.none
        /// Where the client finds the leaders that it did not find here (KIP-951).
        var redirections = LeaderRedirections()

        init(
            loop: BrokerLoop, frame: UnsafeRawBufferPointer, version: Int16, flexible: Bool, acks: Int16,
            isTransactional: Bool, admission: ProduceAdmission?, listener: String
        ) {
            self.listener = listener
            self.loop = loop
            self.frame = frame
            self.version = version
            self.flexible = flexible
            self.acks = acks
            self.isTransactional = isTransactional
            self.admission = admission
        }

        mutating func readTopics(
            _ bytes: RawSpan, at cursor: inout ByteCursor, into writer: inout ByteWriter
        ) throws(ProtocolDecodingError) {
            let topicCount = try cursor.arrayCount(bytes, flexible: flexible)
            guard topicCount >= 0 else { throw .invalidLength }
            writer.arrayCount(topicCount, flexible: flexible)
            let table = loop.topics
            for _ in 0..<topicCount {
                let start = cursor.position
                var topic: Topic?
                var unknown = ErrorCode.unknownTopicOrPartition
                if version >= 13 {
                    let id = try cursor.uuid(bytes)
                    topic = table.topic(withId: id)
                    unknown = .unknownTopicId
                    // The metadata know it, its partitions are about to be opened here.
                    if topic == nil, loop.broker.cluster.image.topicNames[id] != nil { unknown = .notLeaderOrFollower }
                } else {
                    guard let name = try cursor.range(bytes, flexible: flexible, isString: true) else {
                        throw .invalidLength
                    }
                    topic = table.topic(named: UnsafeRawBufferPointer(rebasing: frame[name]))
                    if topic == nil,
                        loop.broker.cluster.image.topics[String(decoding: frame[name], as: UTF8.self)] != nil
                    {
                        unknown = .notLeaderOrFollower
                    }
                }
                // The name or id is written back as it came.
                writer.bytes.append(contentsOf: frame[start..<cursor.position])
                try readPartitions(bytes, at: &cursor, of: topic, orElse: unknown, into: &writer)
                if flexible {
                    try cursor.skipTaggedFields(bytes)
                    writer.noTaggedFields()
                }
            }
            writer.write(Int32(0))  // throttle time
            if flexible {
                try cursor.skipTaggedFields(bytes)
                writer.taggedFields(redirections.endpoints(listener, loop.broker))
            }
            // What a client leaves behind the last field is not looked at, as everywhere.
        }

        private mutating func readPartitions(
            _ bytes: RawSpan, at cursor: inout ByteCursor, of topic: Topic?, orElse unknown: ErrorCode,
            into writer: inout ByteWriter
        ) throws(ProtocolDecodingError) {
            let count = try cursor.arrayCount(bytes, flexible: flexible)
            guard count >= 0 else { throw .invalidLength }
            writer.arrayCount(count, flexible: flexible)
            for _ in 0..<count {
                let number = try cursor.int32(bytes)
                let records = try cursor.range(bytes, flexible: flexible, isString: false)
                writer.write(number)
                let position = writer.bytes.count
                let leader = topic?.leader(of: number)
                var refusal = Refusal(leader == nil ? topic?.refusal(of: number) ?? unknown : .none)
                if let topic, let leader {
                    refusal = check(records.map { frame[$0] } ?? frame[0..<0], topic, leader, position)
                }
                write(refusal, of: leader, into: &writer)
                if flexible {
                    try cursor.skipTaggedFields(bytes)
                    if refusal.code == .notLeaderOrFollower, version >= 10, let topic {
                        var fields = TaggedFieldsWriter()
                        let metadata = loop.broker.cluster.image.topic(named: topic.name)
                        if let leader = redirections.leader(metadata, number) { fields.append(0, leader) }
                        writer.taggedFields(fields)
                    } else {
                        writer.noTaggedFields()
                    }
                }
            }
        }

        /// Stages the batch, or says why not.
        private mutating func check(
            _ slice: Slice<UnsafeRawBufferPointer>, _ topic: Topic, _ leader: PartitionLeader, _ position: Int
        ) -> Refusal {
            let batch = UnsafeRawBufferPointer(rebasing: slice)
            if acks < -1 || acks > 1 { return Refusal(.invalidRequiredAcks) }
            if topic.isInternal { return Refusal(.invalidTopicException, "Clients do not write to \(topic.name).") }
            if acks == -1 && leader.inSyncCount < topic.minimumInSyncReplicas { return Refusal(.notEnoughReplicas) }
            if batch.count > topic.maximumBatchBytes {
                return Refusal(
                    .messageTooLarge,
                    "The batch of \(batch.count) bytes exceeds max.message.bytes, \(topic.maximumBatchBytes).")
            }
            var append: PendingAppend
            switch loop.validator.validate(batch, rules: topic.rules, now: loop.wallMilliseconds) {
            case .accepted(let header):
                append = PendingAppend(header: header, bytes: batch)
            case .rewritten(let header, let rewritten):
                loop.keep(rewritten)
                // The loop keeps the batch, whose storage never moves, until it is written.
                append = PendingAppend(header: header, bytes: rewritten.withBytes { $0 })
            case .rejected(let rejection):
                return Refusal(rejection)
            }
            if append.header.isTransactional {
                guard isTransactional else {
                    return Refusal(
                        .transactionalIdAuthorizationFailed, "Transactional records need a transactional id.")
                }
                switch admission?.verdict(of: append.header, forOrdinal: leader.ordinal) {
                case .admitted(let offset): append.permission = .verified(at: offset)
                case .refused(let code): return Refusal(code)
                case nil:
                    // It was open in the log, or another node led the partition when the others were asked for. As it is
                    // not open now, it must be asked for in its turn: the client retries.
                    if admission != nil,
                        !leader.log.hasOpenTransaction(
                            producerId: append.header.producerId, producerEpoch: append.header.producerEpoch)
                    {
                        return Refusal(.notEnoughReplicas)
                    }
                }
            }
            loop.metrics.received(bytes: append.bytes.count, records: Int(append.header.recordCount))
            loop.staged.append(
                Staged(append: append, leader: leader, position: position, index: Int32(loop.staged.count)))
            return Refusal(.none)
        }

        /// The partition's part of the reply. Where the batch is staged, the outcome is filled in later.
        private mutating func write(_ refusal: Refusal, of leader: PartitionLeader?, into writer: inout ByteWriter) {
            if refusal.code != .none {
                refused += 1
                lastRefusal = refusal.code
                loop.metrics.failed(.produce, refusal.code)
            }
            writer.write(refusal.code.rawValue)
            writer.write(Int64(-1))  // base offset
            writer.write(Int64(-1))  // log append time
            if version >= 5 { writer.write(refusal.code == .none ? leader?.log.startOffset ?? -1 : -1) }
            guard version >= 8 else { return }
            writer.arrayCount(refusal.recordErrors.count, flexible: flexible)
            for error in refusal.recordErrors {
                writer.write(error.index)
                writer.nullableString(error.message, flexible: flexible)
                if flexible { writer.noTaggedFields() }
            }
            writer.nullableString(refusal.message, flexible: flexible)
        }
    }

    /// Why a partition's records are refused before they reach the log.
    private struct Refusal {
        var code: ErrorCode
        var message: String?
        var recordErrors: [RecordBatchRejection.RecordError] = []

        init(_ code: ErrorCode, _ message: String? = nil) {
            self.code = code
            self.message = message
        }

        init(_ rejection: RecordBatchRejection) {
            code = ErrorCode(rejection.reason)
            message = rejection.message
            recordErrors = rejection.recordErrors
        }
    }
}
