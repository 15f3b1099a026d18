/// Who consumes the partitions of a membership. Called one at a time, in order; the membership waits for each to return
/// before partitions move on, and sends heartbeats meanwhile.
package protocol GroupMembershipDelegate: AnyObject, Sendable {
    /// The partitions go elsewhere. Returns when records of them are not handed out any more, the user's listener has
    /// returned, and offsets were committed. With `lost` they are gone already and nothing can be committed.
    func partitionsRevoked(_ partitions: [TopicPartition], lost: Bool) async
    /// `all` is the whole assignment, `added` what is new in it (may be empty: called after each finished rebalance).
    func partitionsAssigned(_ added: [TopicPartition], all: [TopicPartition]) async
    /// The membership has ended for good (fenced instance, authorization, inconsistent protocol…).
    func membershipFailed(_ error: ClientError) async
}
