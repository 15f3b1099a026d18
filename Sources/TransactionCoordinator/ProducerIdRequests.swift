/// The producer ids that are on their way, at most one for each transactional id.
struct ProducerIdRequests: Sendable {
    private var outstanding: [String: ProducerIdTicket] = [:]
    private var nextSequence: UInt64 = 1
    /// The id that has just come, while those who may need it are handled.
    private var arrived: (transactionalId: String, producerId: Int64)?

    func isOutstanding(for transactionalId: String) -> Bool { outstanding[transactionalId] != nil }

    /// A new ticket, unless one is out already.
    mutating func request(for transactionalId: String) -> ProducerIdTicket? {
        if isOutstanding(for: transactionalId) { return nil }
        let ticket = ProducerIdTicket(transactionalId: transactionalId, sequence: nextSequence)
        nextSequence += 1
        outstanding[transactionalId] = ticket
        return ticket
    }

    /// Whether the ticket was out.
    mutating func close(_ ticket: ProducerIdTicket) -> Bool {
        guard outstanding[ticket.transactionalId] == ticket else { return false }
        outstanding[ticket.transactionalId] = nil
        return true
    }

    mutating func offer(_ producerId: Int64, to transactionalId: String) {
        arrived = (transactionalId, producerId)
    }

    /// The id that was offered, once.
    mutating func take(for transactionalId: String) -> Int64? {
        guard let arrived, arrived.transactionalId == transactionalId else { return nil }
        self.arrived = nil
        return arrived.producerId
    }

    /// What nobody took is never used.
    mutating func withdrawOffer() {
        arrived = nil
    }
}
