import KafkaProtocol
import Logging
import MartletTesting
import Synchronization
import Testing

@testable import MartletClient

/// A consumer without the consuming: it writes down what its membership tells it.
final class RecordingDelegate: GroupMembershipDelegate {
    struct State {
        var events: [String] = []
        var owned = Set<TopicPartition>()
        var failure: ClientError?
        var pause: Duration = .zero
        var membership: GroupMembership?
        /// Committed when partitions are revoked.
        var positions: [TopicPartition: ConsumedOffset] = [:]
        var callsUnderWay = 0
    }

    let state = Mutex(State())
    /// Who has which partition, over all members.
    let ledger: Ledger

    init(ledger: Ledger) {
        self.ledger = ledger
    }

    func partitionsRevoked(_ partitions: [TopicPartition], lost: Bool) async {
        let (pause, membership, offsets) = begin { state in
            state.events.append("\(lost ? "lose" : "revoke") \(partitions.map(\.description))")
            state.owned.subtract(partitions)
            return (state.pause, state.membership, state.positions.filter { partitions.contains($0.key) })
        }
        await wait(pause)
        if !lost, let membership, !offsets.isEmpty {
            do throws(ClientError) {
                try await membership.commit(offsets)
            } catch {
                state.withLock { $0.events.append("commit failed") }
            }
        }
        if !lost { ledger.release(partitions, self) } else { ledger.forget(partitions, self) }
        end()
    }

    func partitionsAssigned(_ added: [TopicPartition], all: [TopicPartition]) async {
        let pause = begin { state in
            state.events.append("assign \(added.map(\.description))")
            state.owned.formUnion(added)
            #expect(state.owned == Set(all))
            return state.pause
        }
        ledger.take(added, self)
        await wait(pause)
        end()
    }

    func membershipFailed(_ error: ClientError) async {
        begin { $0.failure = error }
        end()
    }

    @discardableResult
    private func begin<Value>(_ body: (inout State) -> Value) -> Value {
        state.withLock { state in
            #expect(state.callsUnderWay == 0)
            state.callsUnderWay += 1
            return body(&state)
        }
    }

    private func end() {
        state.withLock { $0.callsUnderWay -= 1 }
    }

    private func wait(_ pause: Duration) async {
        guard pause > .zero else { return }
        do {
            try await Task.sleep(for: pause)
        } catch {
            Issue.record(error)
        }
    }

    var owned: Set<TopicPartition> { state.withLock { $0.owned } }
    var events: [String] { state.withLock { $0.events } }
    var failure: ClientError? { state.withLock { $0.failure } }
}

/// Sees to it that nobody is given what another has and has not given up. What was lost, or whose holder was killed, is
/// free.
final class Ledger: Sendable {
    private let holders = Mutex<[TopicPartition: ObjectIdentifier]>([:])

    func take(_ partitions: [TopicPartition], _ member: RecordingDelegate) {
        holders.withLock { holders in
            for partition in partitions {
                #expect(holders[partition] == nil, "\(partition) has two owners")
                holders[partition] = ObjectIdentifier(member)
            }
        }
    }

    func release(_ partitions: [TopicPartition], _ member: RecordingDelegate) {
        holders.withLock { holders in
            for partition in partitions {
                #expect(holders[partition] == ObjectIdentifier(member))
                holders[partition] = nil
            }
        }
    }

    /// Others may have been given it before this one hears of its loss.
    func forget(_ partitions: [TopicPartition], _ member: RecordingDelegate) {
        holders.withLock { holders in
            for partition in partitions where holders[partition] == ObjectIdentifier(member) {
                holders[partition] = nil
            }
        }
    }

    func free(_ member: RecordingDelegate) {
        holders.withLock { holders in holders = holders.filter { $0.value != ObjectIdentifier(member) } }
    }
}

/// A member of a group with connections of its own.
struct TestMember: Sendable {
    let cluster: Cluster
    let membership: GroupMembership
    let delegate: RecordingDelegate

    init(
        _ broker: any TestedBroker, _ ledger: Ledger = Ledger(), _ groupProtocol: GroupProtocol = .classic,
        strategies: [PartitionAssignmentStrategy] = [.range], instanceId: String? = nil,
        adjust: (inout GroupMembershipConfiguration) -> Void = { _ in }
    ) {
        var options = ClientOptions()
        options.backoff.initial = .milliseconds(10)
        options.backoff.maximum = .milliseconds(100)
        options.operationTimeout = .seconds(10)
        cluster = Cluster(
            bootstrap: [BrokerAddress(host: "127.0.0.1", port: broker.port)], options: options)
        var configuration = GroupMembershipConfiguration(groupId: "g")
        configuration.groupProtocol = groupProtocol
        configuration.strategies = strategies
        configuration.groupInstanceId = instanceId
        configuration.heartbeatInterval = .milliseconds(50)
        configuration.sessionTimeout = .seconds(10)
        configuration.metadataMaximumAge = .milliseconds(150)
        adjust(&configuration)
        delegate = RecordingDelegate(ledger: ledger)
        membership = GroupMembership(
            cluster: cluster, configuration: configuration, delegate: delegate, logger: Logger(label: "test"))
        delegate.state.withLock { [membership] in $0.membership = membership }
    }

    @discardableResult
    func start(_ topics: String...) -> TestMember {
        membership.start(.topics(Set(topics)))
        return self
    }

    var owned: Set<TopicPartition> { delegate.owned }

    func leave() async throws {
        do throws(ClientError) {
            try await membership.leave()
        } catch {
            await end()
            throw error
        }
        await end()
    }

    /// Ends without a word to the group.
    func kill() async {
        await cluster.close()
        await end()
    }

    private func end() async {
        delegate.state.withLock { $0.membership = nil }
        await cluster.close()
    }
}

/// Waits until `condition` holds, as long as tests may take on a slow machine.
func eventually(
    _ what: String, within limit: Duration = .seconds(15), sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < end else {
            Issue.record("it never came that \(what)", sourceLocation: sourceLocation)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}

func partitions(_ topic: String, _ indexes: Range<Int32>) -> Set<TopicPartition> {
    Set(indexes.map { TopicPartition(topic, $0) })
}
