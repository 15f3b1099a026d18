import CoordinatorCore
import KafkaProtocol
import TransactionCoordinator

/// WriteTxnMarkers: ends transactions in partitions. For other brokers' coordinators, and for whoever must end a
/// transaction that no coordinator knows any more.
enum WriteTxnMarkersHandler: RequestHandler {
    typealias Request = WriteTxnMarkersRequest
    typealias Response = WriteTxnMarkersResponse

    static func handle(_ request: Request, _ context: RequestContext) -> HandlerOutcome<Response> {
        let count = request.markers.reduce(0) { $0 + $1.topics.reduce(0) { $0 + $1.partitionIndexes.count } }
        guard count <= TransactionLimits.partitions else {
            context.connection.close(because: "\(count) ends of transactions in one request")
            return .later
        }
        let coordinatorEpoch = context.broker.transactions.coordinatorEpoch
        let writes = request.markers.flatMap { marker in
            let end = TransactionEnd(
                producerId: marker.producerId, producerEpoch: marker.producerEpoch,
                isCommit: marker.transactionResult, coordinatorEpoch: marker.coordinatorEpoch,
                transactionVersion: Int16(marker.transactionVersion))
            return marker.topics.flatMap { topic in
                topic.partitionIndexes.map { (end, TransactionPartition(topic: topic.name, partition: $0)) }
            }
        }
        guard !writes.isEmpty else { return .reply(response(to: request, [])) }
        let ticket = context.laterReply(Response.self)
        let gathering = Gathering<ErrorCode>(count: writes.count) { ticket.complete(response(to: request, $0)) }
        let writer = TransactionEndWriter(context.broker)
        for (index, (end, partition)) in writes.enumerated() {
            // A coordinator of a later epoch there is not; its end would shut out the one there is. Or this node has not
            // heard of it yet: it will ask again.
            guard end.producerId >= 0, end.producerEpoch >= 0, end.coordinatorEpoch <= coordinatorEpoch else {
                gathering.add(.invalidRequest, at: index)
                continue
            }
            writer.writeHere(end, to: partition) { gathering.add($0, at: index) }
        }
        return .later
    }

    private static func response(to request: Request, _ codes: [ErrorCode]) -> Response {
        var codes = codes[...]
        var response = Response()
        response.markers = request.markers.map { marker in
            var result = Response.WritableTxnMarkerResult()
            result.producerId = marker.producerId
            result.topics = marker.topics.map { topic in
                var topicResult = Response.WritableTxnMarkerTopicResult()
                topicResult.name = topic.name
                topicResult.partitions = topic.partitionIndexes.map { index in
                    var partition = Response.WritableTxnMarkerPartitionResult()
                    partition.partitionIndex = index
                    partition.errorCode = codes.removeFirst().rawValue
                    return partition
                }
                return topicResult
            }
            return result
        }
        return response
    }
}
