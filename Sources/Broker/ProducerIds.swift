import ClusterMetadata
import Synchronization

/// Producer ids, from a block that the metadata store has written down as taken.
final class ProducerIds: Sendable {
    private let block = Mutex<Range<Int64>>(0..<0)

    /// nil when the block is used up.
    func next() -> Int64? {
        block.withLock { ProducerIds.take(&$0) }
    }

    /// On the control thread.
    func nextFromNewBlock(_ controller: ClusterState) throws(MetadataStoreError) -> Int64 {
        if let id = next() { return id }
        let new = try controller.allocateProducerIds()
        return block.withLock { block in
            block = new
            return ProducerIds.take(&block)!
        }
    }

    private static func take(_ block: inout Range<Int64>) -> Int64? {
        guard let id = block.first else { return nil }
        block = id + 1..<block.upperBound
        return id
    }
}
