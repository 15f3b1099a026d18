import KafkaProtocol
import NIOCore

/// Writes Produce requests around batches that stay where they are.
struct ProduceRequestEncoder {
    let clientId: String
    let transactionalId: String?
    let acknowledgements: Int16
    let timeoutMilliseconds: Int32
    var version: Int16

    /// Below this many bytes all is copied together, which costs less than a list of parts.
    private static let copyLimit = 8192

    /// The frame's parts in order; the first one has the length and the header, with 0 as correlation id.
    func encode(_ batches: [(topic: String, partition: Int32, bytes: ByteBuffer)]) -> [ByteBuffer] {
        let isFlexible = version >= ProduceRequest.firstFlexibleVersion
        let byteCount = batches.reduce(0) { $0 + $1.bytes.readableBytes }
        let isCopied = byteCount <= Self.copyLimit
        // Partitions of a topic stand together.
        let sorted = batches.count == 1 ? batches : batches.sorted { $0.topic < $1.topic }
        var parts: [ByteBuffer] = []
        var total = 0
        var writer = ByteWriter()
        func finishPart() {
            total += writer.bytes.count
            parts.append(ByteBuffer(bytes: writer.bytes))
            writer = ByteWriter(reusing: [])
        }
        writer.write(Int32(0))
        var header = RequestHeader()
        header.requestApiKey = ProduceRequest.apiKey.rawValue
        header.requestApiVersion = version
        header.clientId = clientId
        header.encode(to: &writer, version: isFlexible ? 2 : 1)
        writer.nullableString(transactionalId, flexible: isFlexible)
        writer.write(acknowledgements)
        writer.write(timeoutMilliseconds)
        var topicCount = 0
        for index in sorted.indices where index == 0 || sorted[index].topic != sorted[index - 1].topic {
            topicCount += 1
        }
        writer.arrayCount(topicCount, flexible: isFlexible)
        var start = 0
        while start < sorted.count {
            let topic = sorted[start].topic
            let end = sorted[start...].firstIndex { $0.topic != topic } ?? sorted.count
            writer.string(topic, flexible: isFlexible)
            writer.arrayCount(end - start, flexible: isFlexible)
            for batch in sorted[start..<end] {
                writer.write(batch.partition)
                let length = batch.bytes.readableBytes
                if isFlexible { writer.unsignedVarint(UInt32(length + 1)) } else { writer.write(Int32(length)) }
                if isCopied {
                    writer.bytes.append(contentsOf: batch.bytes.readableBytesView)
                } else {
                    finishPart()
                    parts.append(batch.bytes)
                    total += length
                }
                if isFlexible { writer.noTaggedFields() }
            }
            if isFlexible { writer.noTaggedFields() }
            start = end
        }
        if isFlexible { writer.noTaggedFields() }
        if !writer.bytes.isEmpty { finishPart() }
        // A request is limited to 1 GiB of batches, and a single record to as much.
        parts[0].setInteger(Int32(total - 4), at: 0)
        return parts
    }
}
