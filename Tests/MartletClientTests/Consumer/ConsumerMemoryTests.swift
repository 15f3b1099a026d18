import NIOCore
import Testing

@testable import MartletClient

/// What waits for the application is counted with all the memory that it keeps.
@Suite struct ConsumerMemoryTests {
    private func configuration() -> ConsumerConfiguration {
        var configuration = ConsumerConfiguration(bootstrapServers: [BrokerAddress(host: "a", port: 1)])
        configuration.offsetReset = .earliest
        configuration.prefetchMemory = 10_000
        configuration.maximumPartitionFetchBytes = 2000
        return configuration
    }

    @Test func aFewRecordsThatWaitCountWithTheirWholeReply() throws {
        let count = 22
        var harness = ConsumerHarness(
            seed: 1, configuration: configuration(), partitionCount: count, faults: ConsumerHarness.Faults())
        // All of one broker; the last one has most of each reply.
        for index in harness.partitions.indices where index % 2 == 1 { harness.partitions[index].elect(0) }
        let large = count - 1
        for index in 0..<large {
            let slot = try #require(harness.core.index[ConsumerHarness.name(index)])
            try harness.partitions[index].append(1, compressed: false, tag: "s")
            for _ in 0..<20 { try harness.partitions[large].append(5, compressed: false, tag: "l") }
            let isFetched = harness.pump { $0.slots[slot].hasRecords }
            #expect(isFetched, "partition \(index) has its turn")
            harness.core.setPaused(true, slot)
            while try harness.consume() {}
            #expect(harness.heldBytes <= 10_000)
        }
        for slot in harness.core.slots.indices { harness.core.setPaused(false, slot) }
        #expect(try harness.settle())
        #expect(harness.returns == 0)
        #expect(harness.largestHeld <= 10_000)
    }

    @Test func aReplyKeepsNoMoreMemoryThanItNeeds() {
        var large = ByteBufferAllocator().buffer(capacity: 1 << 20)
        large.writeRepeatingByte(7, count: 5000)
        let fitted = FetchedFrame.fitted(large)
        #expect(fitted == large && fitted.storageCapacity == 8192)
        // One that fills its memory stays where it is.
        large.writeRepeatingByte(7, count: 600_000)
        #expect(FetchedFrame.fitted(large).storageCapacity == 1 << 20)
    }

    @Test(arguments: [1, 2, 1000, 1024, 1025, 32 << 20]) func whatIsReservedFits(byteCount: Int) {
        let payload = FetchedFrame.payload(byteCount: byteCount, overhead: 100)
        #expect(payload >= 1)
        if byteCount > 200 {
            #expect(FetchedFrame.byteCount(payload: payload, overhead: 100) <= byteCount)
            #expect(FetchedFrame.byteCount(payload: payload, overhead: 100) * 2 > byteCount)
        }
    }
}
