import Broker
import Synchronization

/// A hook on requests, from ``TestBroker/intercept(_:times:_:)``.
public final class RequestHook: Sendable {
    typealias Decision = @Sendable (InterceptedRequest) -> Interception

    private struct State {
        var asked = 0
        var hits = 0
        /// Requests that it may still decide about; those that it lets go do not count.
        var left: Int
    }

    private let apis: [InterceptedAPI]
    private let decision: Decision
    private let state: Mutex<State>
    /// The registry that it is in, to leave it.
    private let registry: HookRegistry

    init(_ apis: [InterceptedAPI], times: Int, registry: HookRegistry, _ decision: @escaping Decision) {
        self.apis = apis
        self.decision = decision
        self.registry = registry
        state = Mutex(State(left: times))
    }

    /// How many requests it has decided about otherwise than with ``Interception/proceed``.
    public var hitCount: Int { state.withLock { $0.hits } }

    /// Takes the hook out. Requests that are being delayed stay so.
    public func remove() {
        registry.remove(self)
        state.withLock { $0.left = 0 }
    }

    /// nil when the request is none of its business.
    func decide(
        _ request: RequestFrame, _ broker: Broker
    ) -> (api: InterceptedAPI, interception: Interception)? {
        guard let api = apis.first(where: { $0.apiKey.rawValue == request.apiKey }) else { return nil }
        // The right is taken before the user's code runs, outside the lock, and given back if that makes no use of it.
        let number = state.withLock { state -> Int? in
            guard state.left > 0 else { return nil }
            state.left -= 1
            state.asked += 1
            return state.asked
        }
        guard let number else { return nil }
        let interception = decision(
            InterceptedRequest(
                api: api, apiVersion: Int(request.version), clientId: request.clientId,
                topics: api.topics(request, broker), number: number))
        state.withLock { state in
            if interception.action == .proceed { state.left += 1 } else { state.hits += 1 }
        }
        return (api, interception)
    }
}

/// The hooks of one broker.
final class HookRegistry: Sendable {
    private let hooks = Mutex<[RequestHook]>([])

    func add(_ hook: RequestHook) {
        hooks.withLock { $0.append(hook) }
    }

    func remove(_ hook: RequestHook) {
        hooks.withLock { hooks in hooks.removeAll { $0 === hook } }
    }

    func removeAll() {
        let all = hooks.withLock { $0 }
        for hook in all { hook.remove() }
    }

    /// The first hook that does not let the request go decides.
    func decide(
        _ request: RequestFrame, _ broker: Broker
    ) -> (api: InterceptedAPI, interception: Interception)? {
        for hook in hooks.withLock({ $0 }) {
            if let decided = hook.decide(request, broker),
                decided.interception.action != .proceed
            {
                return decided
            }
        }
        return nil
    }
}

extension TestBroker {
    /// Asks `decide` about each request of an API before the broker is given it. The hook stays until it was used
    /// `times` times or is removed, over restarts of the broker too; what it lets go with ``Interception/proceed`` does
    /// not count. Of several hooks the first that does not let a request go decides.
    ///
    /// `decide` is called on the broker's thread and must not wait.
    @discardableResult
    public func intercept(
        _ apis: InterceptedAPI..., times: Int = .max,
        _ decide: @escaping @Sendable (InterceptedRequest) -> Interception
    ) -> RequestHook {
        let hook = RequestHook(apis, times: times, registry: hooks, decide)
        hooks.add(hook)
        return hook
    }
}
