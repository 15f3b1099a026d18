import GRPCCore
import GRPCProtobuf
import SwiftProtobuf
import Synchronization

/// What was reached of a call, for the one who asks after it failed.
private final class CallProgress: Sendable {
    let wasSent = Atomic(false)
}

extension EtcdConnections {
    /// The largest reply: a page of a snapshot, all its values as large as etcd takes them by default (1.5 MB).
    static let maximumMessageBytes = snapshotPageEntries * 2 * 1024 * 1024
    static let snapshotPageEntries = 256
    /// How long a member may take to accept a connection before another is asked.
    private static let connectTimeout = Duration.seconds(1)
    private static let pauseBetweenTries = Duration.milliseconds(50)

    /// Calls etcd until it has an answer or the time is over. What surely did not happen is tried again, on the next
    /// member; what may have happened only if the call is `repeatable`, that is when doing it twice does no harm.
    func call<Request: Message, Response: Message>(
        _ method: MethodDescriptor, _ request: Request, returning: Response.Type, repeatable: Bool, timeout: Duration,
        requestBytes: Int = 0
    ) async throws(EtcdFailure) -> Response {
        let deadline = ContinuousClock.now + timeout
        var tokensRefused = 0
        while true {
            let connection = try forCall(requestBytes: requestBytes)
            do {
                let token = try await currentToken(connection, until: deadline)
                // A member that has stopped answering may not use up the time of the others.
                let remaining = ContinuousClock.now.duration(to: deadline)
                let share = repeatable && endpointCount > 1 ? min(remaining, timeout / 3) : remaining
                return try await perform(
                    method, request, returning: Response.self, on: connection, token: token, timeout: share)
            } catch {
                let mayTryAgain =
                    switch error.kind {
                    case .notDone: true
                    case .unknown: repeatable
                    case .tokenRefused: configuration.username != nil && tokensRefused < 2
                    case .refused, .leaseNotFound, .compacted: false
                    }
                if error.kind == .tokenRefused {
                    tokensRefused += 1
                    token = nil
                } else if error.kind == .notDone || error.kind == .unknown {
                    failed(connection, error)
                }
                guard mayTryAgain, !Task.isCancelled,
                    ContinuousClock.now.duration(to: deadline) > EtcdConnections.pauseBetweenTries
                else { throw error }
                do {
                    try await Task.sleep(for: EtcdConnections.pauseBetweenTries)
                } catch let cancellation {
                    throw EtcdFailure(cancellation, wasSent: false)
                }
            }
        }
    }

    /// The token that etcd gave for the password, asked for once and again when it was refused; nil without a password.
    func currentToken(
        _ connection: Connection, until deadline: ContinuousClock.Instant
    ) async throws(EtcdFailure) -> String? {
        guard let username = configuration.username, let password = configuration.password else { return nil }
        if let token { return token }
        var request = Etcdserverpb_AuthenticateRequest()
        request.name = username
        request.password = password
        do {
            let response = try await perform(
                Etcdserverpb_Auth.Method.Authenticate.descriptor, request,
                returning: Etcdserverpb_AuthenticateResponse.self, on: connection, token: nil,
                timeout: ContinuousClock.now.duration(to: deadline))
            token = response.token
            return response.token
        } catch {
            // As etcd's own clients do: a password is no reason to refuse an etcd that does not ask for one.
            if error.reason.contains("authentication is not enabled") { return nil }
            // Whatever became of the request for a token, nothing became of the call that needs it.
            throw EtcdFailure(
                kind: error.kind == .unknown ? .notDone : error.kind, reason: error.reason,
                isFromEtcd: error.isFromEtcd)
        }
    }

    /// One try on one connection.
    private func perform<Request: Message, Response: Message>(
        _ method: MethodDescriptor, _ request: Request, returning: Response.Type, on connection: Connection,
        token: String?, timeout: Duration
    ) async throws(EtcdFailure) -> Response {
        let progress = CallProgress()
        let options = EtcdConnections.options
        do {
            return try await withThrowingTaskGroup(of: Response?.self) { group in
                group.addTask {
                    // As a stream of one message, because its producer runs when there is a connection to send on, and
                    // never when there is none.
                    try await connection.client.clientStreaming(
                        request: StreamingClientRequest(metadata: EtcdConnections.metadata(token)) { writer in
                            progress.wasSent.store(true, ordering: .sequentiallyConsistent)
                            try await writer.write(request)
                        },
                        descriptor: method, serializer: ProtobufSerializer<Request>(),
                        deserializer: ProtobufDeserializer<Response>(), options: options
                    ) { try $0.message }
                }
                group.addTask {
                    let connect = min(timeout, EtcdConnections.connectTimeout)
                    try await Task.sleep(for: connect)
                    if !progress.wasSent.load(ordering: .sequentiallyConsistent) {
                        throw EtcdTimeout(reason: "no connection within \(connect)")
                    }
                    try await Task.sleep(for: timeout - connect)
                    throw EtcdTimeout(reason: "no answer within \(timeout)")
                }
                defer { group.cancelAll() }
                guard let response = try await group.next() ?? nil else { throw CancellationError() }
                return response
            }
        } catch {
            // Asked after the group has ended, so nothing can be sent any more.
            throw EtcdFailure(error, wasSent: progress.wasSent.load(ordering: .sequentiallyConsistent))
        }
    }

    static var options: CallOptions {
        var options = CallOptions.defaults
        options.maxResponseMessageBytes = maximumMessageBytes
        // The transport knows only one limit, and calls it the request's.
        options.maxRequestMessageBytes = maximumMessageBytes
        return options
    }

    /// With `hasleader`, a member without a leader says so at once, and ends its watches, rather than keep silent.
    static func metadata(_ token: String?) -> Metadata {
        var metadata: Metadata = ["hasleader": "true"]
        if let token { metadata.addString(token, forKey: "authorization") }
        return metadata
    }
}

struct EtcdTimeout: Error, CustomStringConvertible {
    var reason: String

    var description: String { reason }
}
