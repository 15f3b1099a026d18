import Broker
import KafkaProtocol

/// Takes the last epoch out of followers' fetches, so that the leader cannot see where the logs part.
final class EpochlessChannel: PeerChannel {
    private let channel: SimulatedChannel

    init(_ channel: SimulatedChannel) {
        self.channel = channel
    }

    func send(
        _ request: [UInt8], timeoutMilliseconds: Int64, _ completion: @escaping @Sendable (PeerOutcome) -> Void
    ) {
        channel.send(changed(request), timeoutMilliseconds: timeoutMilliseconds, completion)
    }

    func close() { channel.close() }

    private func changed(_ frame: [UInt8]) -> [UInt8] {
        guard frame[0] == 0, frame[1] == UInt8(FetchRequest.apiKey.rawValue) else { return frame }
        let version = Int16(frame[2]) << 8 | Int16(frame[3])
        let headerEnd = 10 + (Int(frame[8]) << 8 | Int(frame[9])) + 1
        guard var request = try? FetchRequest.decode(Array(frame[headerEnd...]), version: version) else {
            preconditionFailure("a node sent a fetch that cannot be read")
        }
        for topic in request.topics.indices {
            for partition in request.topics[topic].partitions.indices {
                request.topics[topic].partitions[partition].lastFetchedEpoch = -1
            }
        }
        var writer = ByteWriter()
        writer.bytes = Array(frame[..<headerEnd])
        request.encode(to: &writer, version: version)
        return writer.bytes
    }
}

/// Says that the ends of transactions are in the other node's logs, and does not send them.
final class MarkerlessChannel: PeerChannel {
    private let channel: SimulatedChannel

    init(_ channel: SimulatedChannel) {
        self.channel = channel
    }

    func send(
        _ request: [UInt8], timeoutMilliseconds: Int64, _ completion: @escaping @Sendable (PeerOutcome) -> Void
    ) {
        guard request[0] == 0, request[1] == UInt8(WriteTxnMarkersRequest.apiKey.rawValue) else {
            return channel.send(request, timeoutMilliseconds: timeoutMilliseconds, completion)
        }
        let reply = reply(to: request)
        channel.timeline.after(.milliseconds(1), "no-markers", life: channel.life) {
            reply.withUnsafeBytes { completion(.reply($0)) }
        }
    }

    func close() { channel.close() }

    private func reply(to frame: [UInt8]) -> [UInt8] {
        let version = Int16(frame[2]) << 8 | Int16(frame[3])
        let headerEnd = 10 + (Int(frame[8]) << 8 | Int(frame[9])) + 1
        guard let request = try? WriteTxnMarkersRequest.decode(Array(frame[headerEnd...]), version: version) else {
            preconditionFailure("a node sent markers that cannot be read")
        }
        var response = WriteTxnMarkersResponse()
        response.markers = request.markers.map { marker in
            var answer = WriteTxnMarkersResponse.WritableTxnMarkerResult()
            answer.producerId = marker.producerId
            answer.topics = marker.topics.map { topic in
                var result = WriteTxnMarkersResponse.WritableTxnMarkerTopicResult()
                result.name = topic.name
                result.partitions = topic.partitionIndexes.map { index in
                    var partition = WriteTxnMarkersResponse.WritableTxnMarkerPartitionResult()
                    partition.partitionIndex = index
                    return partition
                }
                return result
            }
            return answer
        }
        var writer = ByteWriter()
        writer.bytes = Array(frame[4..<8])
        writer.noTaggedFields()
        response.encode(to: &writer, version: version)
        return writer.bytes
    }
}
