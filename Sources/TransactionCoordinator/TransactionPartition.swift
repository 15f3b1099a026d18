/// A partition that takes part in a transaction.
package struct TransactionPartition: Hashable, Comparable, Sendable {
    package var topic: String
    package var partition: Int32

    package init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    package static func < (left: TransactionPartition, right: TransactionPartition) -> Bool {
        (left.topic, left.partition) < (right.topic, right.partition)
    }
}
