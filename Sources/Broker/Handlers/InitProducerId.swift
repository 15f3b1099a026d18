import ClusterMetadata
import KafkaProtocol

/// InitProducerId: an id for an idempotent producer (KIP-98). Its sequence numbers are checked by the partition's log.
enum InitProducerIdHandler: RequestHandler {
    typealias Request = InitProducerIdRequest

    static func handle(
        _ request: InitProducerIdRequest, _ context: RequestContext
    ) -> HandlerOutcome<InitProducerIdResponse> {
        guard request.transactionalId == nil else {
            // Fatal to every client, unlike the coordinator's errors, which they would retry for ever.
            return .reply(failed(.invalidRequest))
        }
        if let id = context.broker.producerIds.next() {
            return .reply(succeeded(id))
        }
        return context.onControlThread { broker in
            do throws(MetadataStoreError) {
                return succeeded(try broker.producerIds.nextFromNewBlock(broker.controller))
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
