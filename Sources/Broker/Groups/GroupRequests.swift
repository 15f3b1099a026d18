import CoordinatorCore
import GroupCoordinator
import KafkaProtocol
import Synchronization

extension RequestContext {
    private var coordinatorContext: CoordinatorRequestContext {
        CoordinatorRequestContext(
            apiVersion: version, clientId: clientId ?? "", clientHost: connection.clientHost)
    }

    /// A request about one group, for the shard that has it.
    func toGroup<Response: ProtocolResponse>(
        _ groupId: String, _ request: GroupRequest,
        _ unwrap: @escaping @Sendable (GroupResponse) -> Response?
    ) -> HandlerOutcome<Response> {
        let ticket = laterReply(Response.self)
        let reply: GroupShard.Reply = { response in
            guard let response = unwrap(response) else {
                preconditionFailure("the coordinator answered another request than was asked")
            }
            ticket.complete(response)
        }
        if let shard = broker.groups.shard(of: groupId) {
            shard.handle(request, coordinatorContext, reply: reply)
        } else {
            reply(.failure(request, apiVersion: version, .coordinatorNotAvailable))
        }
        return .later
    }

    /// A request about several groups: each shard gets its part, and the parts of the reply are put together.
    func toGroups<Item: Sendable, Response: ProtocolResponse>(
        _ items: [Item], id: (Item) -> String, request: ([Item]) -> GroupRequest,
        merge: @escaping @Sendable ([GroupResponse]) -> Response
    ) -> HandlerOutcome<Response> {
        var parts: [(shard: GroupShard?, items: [Item])] = []
        for item in items {
            let shard = broker.groups.shard(of: id(item))
            if let place = parts.firstIndex(where: { $0.shard === shard }) {
                parts[place].items.append(item)
            } else {
                parts.append((shard, [item]))
            }
        }
        return gather(parts.map { ($0.shard, request($0.items)) }, merge: merge)
    }

    /// A request for all shards.
    func toAllGroups<Response: ProtocolResponse>(
        _ request: GroupRequest, merge: @escaping @Sendable ([GroupResponse]) -> Response
    ) -> HandlerOutcome<Response> {
        gather(broker.groups.allShards.map { ($0, request) }, merge: merge)
    }

    private func gather<Response: ProtocolResponse>(
        _ parts: [(shard: GroupShard?, request: GroupRequest)],
        merge: @escaping @Sendable ([GroupResponse]) -> Response
    ) -> HandlerOutcome<Response> {
        guard !parts.isEmpty else { return .reply(merge([])) }
        let ticket = laterReply(Response.self)
        let gathering = Gathering(count: parts.count) { ticket.complete(merge($0)) }
        for (index, part) in parts.enumerated() {
            let reply: GroupShard.Reply = { gathering.add($0, at: index) }
            if let shard = part.shard {
                shard.handle(part.request, coordinatorContext, reply: reply)
            } else {
                reply(.failure(part.request, apiVersion: version, .coordinatorNotAvailable))
            }
        }
        return .later
    }
}

/// Collects the replies of several shards.
private final class Gathering: Sendable {
    private let replies: Mutex<[GroupResponse?]>
    private let done: @Sendable ([GroupResponse]) -> Void

    init(count: Int, _ done: @escaping @Sendable ([GroupResponse]) -> Void) {
        replies = Mutex(Array(repeating: nil, count: count))
        self.done = done
    }

    func add(_ reply: GroupResponse, at index: Int) {
        let complete = replies.withLock { replies -> [GroupResponse]? in
            replies[index] = reply
            return replies.contains { $0 == nil } ? nil : replies.compactMap(\.self)
        }
        if let complete { done(complete) }
    }
}
