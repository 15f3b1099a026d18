import ClusterMetadata
import GRPCCore
import GRPCProtobuf
import Logging
import Synchronization

/// Follows the changes below the key prefix for one observer, over broken connections and from member to member, and
/// tells when etcd does not answer.
final class EtcdWatch: Sendable {
    private struct State {
        var assembly: WatchAssembly
        var health: WatchHealth
        var task: Task<Void, Never>?
        var isStopped = false
    }

    private static let firstPause = Duration.milliseconds(50)
    private static let longestPause = Duration.seconds(1)
    private static let checkInterval = Duration.milliseconds(200)

    private let connections: EtcdConnections
    private let keys: EtcdKeys
    private let news: EtcdNews
    /// The observer's number.
    private let generation: Int
    private let state: Mutex<State>

    init(_ connections: EtcdConnections, keys: EtcdKeys, after revision: Int64, news: EtcdNews, generation: Int) {
        self.connections = connections
        self.keys = keys
        self.news = news
        self.generation = generation
        state = Mutex(State(assembly: WatchAssembly(after: revision), health: WatchHealth(at: .now)))
    }

    func start() {
        state.withLock { state in
            guard !state.isStopped else { return }
            state.task = Task { await self.run() }
        }
    }

    func stop() {
        let task = state.withLock { state in
            state.isStopped = true
            return state.task
        }
        task?.cancel()
    }

    private func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watchHealth() }
            group.addTask { await self.followUntilLost() }
            // Either ends only when the watch is stopped or has nothing to follow any more.
            await group.next()
            group.cancelAll()
        }
    }

    private func watchHealth() async {
        while (try? await Task.sleep(for: EtcdWatch.checkInterval)) != nil {
            // Told while the state is locked: it must not come after an answer that came after it.
            state.withLock { state in
                guard state.health.isNewlySilent(at: .now) else { return }
                news.tell(.unavailable(state.health.lastFailure), to: generation)
                connections.configuration.logger.warning(
                    "etcd.unavailable", metadata: ["reason": "\(state.health.lastFailure)"])
            }
        }
    }

    private func followUntilLost() async {
        var pause = EtcdWatch.firstPause
        while !Task.isCancelled {
            let revision = state.withLock { state in
                state.assembly.restart()
                state.health.beginStream(at: .now)
                return state.assembly.nextRevision
            }
            do throws(EtcdFailure) {
                try await follow(from: revision)
            } catch {
                if Task.isCancelled { return }
                if error.kind == .compacted {
                    connections.configuration.logger.warning("etcd.history-lost", metadata: ["from": "\(revision)"])
                    await news.tellAndWait([.historyLost], to: generation)
                    return
                }
                connections.configuration.logger.info(
                    "etcd.watch-broken", metadata: ["from": "\(revision)", "reason": "\(error.reason)"])
                let hasProgressed = state.withLock { state in
                    state.health.lastFailure = error.reason
                    return state.assembly.nextRevision > revision
                }
                if hasProgressed { pause = EtcdWatch.firstPause }
            }
            guard (try? await Task.sleep(for: pause)) != nil else { return }
            pause = min(pause * 2, EtcdWatch.longestPause)
        }
    }

    /// One stream, until it breaks. It never returns without an error.
    private func follow(from revision: Int64) async throws(EtcdFailure) {
        let connection = try connections.forWatch()
        defer { connections.giveUp(connection, after: .zero) }
        do {
            let token = try await connections.currentToken(
                connection, until: .now + connections.configuration.requestTimeout)
            // The time until now was another call's, with its own limit.
            state.withLock { $0.health.beginStream(at: .now) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.stream(on: connection, from: revision, token: token) }
                group.addTask { try await self.endWhenSilent() }
                defer { group.cancelAll() }
                try await group.next()
            }
            throw EtcdFailure(kind: .unknown, reason: "etcd ended the watch")
        } catch {
            let failure = EtcdFailure(error, wasSent: true)
            if failure.kind == .tokenRefused { connections.token = nil }
            if failure.kind != .compacted, !Task.isCancelled { connections.failed(connection, failure) }
            throw failure
        }
    }

    private func endWhenSilent() async throws {
        while true {
            try await Task.sleep(for: EtcdWatch.checkInterval)
            if state.withLock({ $0.health.isStreamSilent(at: .now) }) {
                throw EtcdTimeout(reason: "no answer on the watch within \(WatchHealth.streamSilence)")
            }
        }
    }

    private func stream(on connection: EtcdConnections.Connection, from revision: Int64, token: String?) async throws {
        var create = Etcdserverpb_WatchRequest()
        create.createRequest.key = keys.first
        create.createRequest.rangeEnd = keys.end
        create.createRequest.startRevision = revision
        // What was missed may be larger than any message may be.
        create.createRequest.fragment = true
        let first = create
        try await connection.client.bidirectionalStreaming(
            request: StreamingClientRequest(metadata: EtcdConnections.metadata(token)) { writer in
                try await writer.write(first)
                var question = Etcdserverpb_WatchRequest()
                question.progressRequest = Etcdserverpb_WatchProgressRequest()
                while true {
                    try await Task.sleep(for: WatchHealth.questionInterval)
                    try await writer.write(question)
                }
            },
            descriptor: Etcdserverpb_Watch.Method.Watch.descriptor,
            serializer: ProtobufSerializer<Etcdserverpb_WatchRequest>(),
            deserializer: ProtobufDeserializer<Etcdserverpb_WatchResponse>(), options: EtcdConnections.options
        ) { response in
            for try await message in response.messages { try await self.receive(message) }
        }
    }

    private func receive(_ message: Etcdserverpb_WatchResponse) async throws(EtcdFailure) {
        if message.canceled {
            let reason = message.cancelReason.isEmpty ? "etcd cancelled the watch" : message.cancelReason
            if message.compactRevision > 0 || reason.contains("compacted") {
                tellAvailable()
                throw EtcdFailure(kind: .compacted, reason: reason, isFromEtcd: true)
            }
            // etcd 3.4 says "permission denied" for a token that it does not know; a new one decides it.
            let isAboutToken = reason.contains("permission denied") || reason.contains("auth")
            throw EtcdFailure(kind: isAboutToken ? .tokenRefused : .unknown, reason: reason, isFromEtcd: true)
        }
        tellAvailable()
        let revisions = state.withLock { state in
            let revisions = state.assembly.add(message.events, hasMoreFragments: message.fragment)
            if !revisions.isEmpty { state.health.beginDelivery() }
            return revisions
        }
        guard !revisions.isEmpty else { return }
        await news.tellAndWait(
            revisions.map { .changed($0.events.map(change), revision: $0.number) }, to: generation)
        state.withLock { $0.health.endDelivery(at: .now) }
    }

    private func tellAvailable() {
        state.withLock { state in
            guard state.health.answered(at: .now) else { return }
            news.tell(.available, to: generation)
            connections.configuration.logger.info("etcd.available")
        }
    }

    private func change(_ event: Mvccpb_Event) -> MetadataChange {
        switch event.type {
        case .delete: .deleted(key: keys.name(event.kv.key))
        default: .put(keys.entry(event.kv))
        }
    }
}
