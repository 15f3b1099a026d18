/// Somebody who waits until a partition's records up to an offset may be seen: a produce request with acks=all, or a
/// fetch that found too little. A small value, so that thousands may wait.
package struct PartitionWaiter: Sendable {
    /// Woken when what is waited for reaches this offset.
    package let offset: Int64
    package let listener: any PartitionListener
    /// What the listener gave, to know the waiter again.
    package let connection: UInt64
    package let slot: UInt64
    /// Which of the request's partitions this is.
    package let index: Int32

    package init(offset: Int64, listener: any PartitionListener, connection: UInt64, slot: UInt64, index: Int32) {
        self.offset = offset
        self.listener = listener
        self.connection = connection
        self.slot = slot
        self.index = index
    }
}

/// What became of what somebody waited for.
package enum WaitResult: Sendable {
    case reached
    /// It is there, but by now on fewer in-sync replicas than the topic wants.
    case reachedWithTooFewReplicas
    /// Another broker leads the partition now, or none: whether it is kept is for that one to say.
    case notLeader
    /// The log went offline or away: it will not come.
    case failed
}

/// Receives the waiters whose time has come. Called from whichever thread moved the partition on, outside its lock.
package protocol PartitionListener: AnyObject, Sendable {
    func wake(_ waiter: PartitionWaiter, _ result: WaitResult)
}
