import ArgumentParser
import Foundation
import MartletClient

struct MemberCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "member",
        abstract: "A group's member that prints what it gets, as Tests/Clients/group_member.py does.",
        discussion: "Commits after each batch, before it takes the next. SIGTERM ends it, after it has left the group.")

    @OptionGroup var connecting: Connecting
    @Option(parsing: .singleValue, help: "May be repeated.") var topic: [String]
    @Option var group: String
    @Option(name: .customLong("protocol"), help: "How it takes part in the group.") var membership: Membership
    @Option(help: "client.rack") var rack: String?

    private struct Told: Encodable {
        var assigned: [Place]?
        var revoked: [Place]?
        var owned: [Place]?
        var topic: String?
        var partition: Int32?
        var offset: Int64?
        var value: String?
        var committed: Int64?
        var error: String?
        var code: String?
        var closed: Bool?
    }

    func run() async throws {
        Termination.listen()
        connecting.startLogging()
        var configuration = try connecting.consumer(group: group)
        membership.apply(to: &configuration)
        configuration.clientRack = rack
        configuration.metadataMaximumAge = .seconds(1)
        configuration.rebalanceListener = Listening { kind, partitions in
            let places = partitions.map(Place.init)
            say(kind == .assigned ? Told(assigned: places) : Told(revoked: places))
        }
        let consumer = try Consumer(configuration: configuration)
        try consumer.subscribe(to: topic)
        var owned: Set<TopicPartition>?
        while !Termination.isAsked {
            do {
                let batches = try await consumer.nextBatches(limit: 10, timeout: .milliseconds(50))
                if consumer.assignment != owned {
                    owned = consumer.assignment
                    say(Told(owned: consumer.assignment.sorted().map(Place.init)))
                }
                try await take(batches, consumer)
            } catch let error as ClientError where !error.isFatal {
                say(Told(error: "\(error)", code: "\(error.code)"))
            }
        }
        await consumer.close()
        say(Told(closed: true))
    }

    private func take(_ batches: [ConsumerBatch], _ consumer: Consumer) async throws {
        for record in batches.lazy.flatMap({ $0 }) {
            say(
                Told(
                    topic: record.topic, partition: record.partition, offset: record.offset,
                    value: record.value?.string))
        }
        guard !batches.isEmpty else { return }
        let offsets = Dictionary(batches.map { ($0.topicPartition, $0.consumedOffset) }) { $1 }
        try await consumer.commit(offsets)
        for (place, consumed) in offsets {
            say(Told(topic: place.topic, partition: place.partition, committed: consumed.offset))
        }
    }
}
