import ClusterMetadata
import KafkaProtocol

/// InitProducerId: an id for an idempotent producer (KIP-98), or the next life of a transactional one, which fences
/// those before it. Sequence numbers are checked by the partition's log.
enum InitProducerIdHandler: RequestHandler {
    typealias Request = InitProducerIdRequest

    /// Version 6 is for two-phase commit (KIP-939), which there is not.
    static let versions: ClosedRange<Int16> = 0...5

    static func handle(
        _ request: InitProducerIdRequest, _ context: RequestContext
    ) -> HandlerOutcome<InitProducerIdResponse> {
        if let transactionalId = request.transactionalId {
            return context.toShard(of: transactionalId, in: context.transactions, .initProducerId(request)) {
                guard case .initProducerId(let response) = $0 else { return nil }
                return response
            }
        }
        if let id = context.broker.producerIds.next() {
            return .reply(succeeded(id))
        }
        return context.onControlThread { broker in
            do throws(MetadataStoreError) {
                return succeeded(try broker.producerIds.nextFromNewBlock(broker.cluster))
            } catch {
                return failed(ErrorCode(error))
            }
        }
    }

    private static func succeeded(_ id: Int64) -> InitProducerIdResponse {
        var response = InitProducerIdResponse()
        response.producerId = id
        response.producerEpoch = 0
        return response
    }

    private static func failed(_ code: ErrorCode) -> InitProducerIdResponse {
        var response = InitProducerIdResponse()
        response.errorCode = code.rawValue
        response.producerId = -1
        response.producerEpoch = -1
        return response
    }
}
