import GroupCoordinator
import KafkaProtocol

/// OffsetFetch: how far groups have read; from version 8 of several groups at once.
enum OffsetFetchHandler: RequestHandler {
    typealias Request = OffsetFetchRequest

    static func handle(
        _ request: OffsetFetchRequest, _ context: RequestContext
    ) -> HandlerOutcome<OffsetFetchResponse> {
        guard context.version >= 8 else {
            return context.toShard(of: request.groupId, in: context.groups, .offsetFetch(request)) { response in
                guard case .offsetFetch(let response) = response else { return nil }
                return response
            }
        }
        return context.toShards(of: request.groups, in: context.groups) {
            $0.groupId
        } request: { groups in
            var part = request
            part.groups = groups
            return .offsetFetch(part)
        } merge: { parts in
            var response = OffsetFetchResponse()
            for case .offsetFetch(let part) in parts { response.groups += part.groups }
            return response
        }
    }
}
