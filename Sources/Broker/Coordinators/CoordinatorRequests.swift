import CoordinatorCore
import GroupCoordinator
import KafkaProtocol
import TransactionCoordinator

extension RequestContext {
    var groups: CoordinatorTopic<GroupCoordinatorShard> { broker.groups.shards }
    var transactions: CoordinatorTopic<TransactionCoordinatorShard> { broker.transactions.shards }

    var coordinatorContext: CoordinatorRequestContext {
        CoordinatorRequestContext(
            apiVersion: version, clientId: clientId ?? "", clientHost: connection.clientHost)
    }

    /// A request about one group or transactional id, for the shard that has it.
    func toShard<Machine: CoordinatorStateMachine, Response: ProtocolResponse>(
        of key: String, in topic: CoordinatorTopic<Machine>, _ request: Machine.Request,
        _ unwrap: @escaping @Sendable (Machine.Response) -> Response?
    ) -> HandlerOutcome<Response> {
        let ticket = laterReply(Response.self)
        topic.ask(key, request, coordinatorContext) { response in
            guard let response = unwrap(response) else {
                preconditionFailure("the coordinator answered another request than was asked")
            }
            ticket.complete(response)
        }
        return .later
    }

    /// A request about several groups or ids: each shard gets its part, and the parts of the reply are put together.
    func toShards<Machine: CoordinatorStateMachine, Item: Sendable, Response: ProtocolResponse>(
        of items: [Item], in topic: CoordinatorTopic<Machine>, key: (Item) -> String,
        request: ([Item]) -> Machine.Request, merge: @escaping @Sendable ([Machine.Response]) -> Response
    ) -> HandlerOutcome<Response> {
        var parts: [(partition: Int32?, items: [Item])] = []
        for item in items {
            let partition = topic.partition(of: key(item))
            if let place = parts.firstIndex(where: { $0.partition == partition }) {
                parts[place].items.append(item)
            } else {
                parts.append((partition, [item]))
            }
        }
        return gather(
            parts.map { part in
                let shard = part.partition.flatMap { topic[$0] }
                return (shard, request(part.items), shard == nil ? topic.absence(of: part.partition) : .none)
            }, merge: merge)
    }

    /// A request for all shards.
    func toAllShards<Machine: CoordinatorStateMachine, Response: ProtocolResponse>(
        in topic: CoordinatorTopic<Machine>, _ request: Machine.Request,
        merge: @escaping @Sendable ([Machine.Response]) -> Response
    ) -> HandlerOutcome<Response> {
        gather(topic.all.map { ($0, request, .none) }, merge: merge)
    }

    private func gather<Machine: CoordinatorStateMachine, Response: ProtocolResponse>(
        _ parts: [(shard: CoordinatorShard<Machine>?, request: Machine.Request, absence: ErrorCode)],
        merge: @escaping @Sendable ([Machine.Response]) -> Response
    ) -> HandlerOutcome<Response> {
        guard !parts.isEmpty else { return .reply(merge([])) }
        let ticket = laterReply(Response.self)
        let gathering = Gathering(count: parts.count) { ticket.complete(merge($0)) }
        for (index, part) in parts.enumerated() {
            if let shard = part.shard {
                shard.handle(part.request, coordinatorContext) { gathering.add($0, at: index) }
            } else {
                gathering.add(
                    Machine.refusal(of: part.request, apiVersion: version, part.absence), at: index)
            }
        }
        return .later
    }
}

extension CoordinatorTopic {
    /// Asks the shard that has the key. Where there is none, another node may have it.
    func ask(
        _ key: String, _ request: Machine.Request, _ context: CoordinatorRequestContext,
        reply: @escaping Shard.Reply
    ) {
        if let shard = shard(of: key) {
            shard.handle(request, context, reply: reply)
        } else {
            reply(Machine.refusal(of: request, apiVersion: context.apiVersion, absence(of: partition(of: key))))
        }
    }
}
