import ArgumentParser
import Foundation
import MartletClient

struct ReadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read", abstract: "Prints all records of a topic up to its end, or so many.",
        discussion: "Keys, values and the headers' values are in base64, since they are any bytes.")

    @OptionGroup var connecting: Connecting
    @Option var topic: String
    @Flag(help: "isolation.level=read_committed") var committed = false
    @Option(help: "client.rack") var rack: String?
    @Option(help: "Waits for so many records instead of the end, which it does not ask for.") var count: Int?

    private struct Told: Encodable {
        struct Named: Encodable {
            let key: String
            let value: Data?
        }

        let partition: Int32
        let offset: Int64
        let timestamp: Int64
        let key: Data?
        let value: Data?
        let headers: [Named]
    }

    func run() async throws {
        connecting.startLogging()
        var configuration = try connecting.consumer()
        configuration.isolationLevel = committed ? .readCommitted : .readUncommitted
        configuration.clientRack = rack
        let consumer = try Consumer(configuration: configuration)
        let partitions = try await consumer.partitions(of: topic)
        let ends = count == nil ? try await consumer.endOffsets(of: partitions) : [:]
        try consumer.assign(partitions, from: .beginning)
        var left = count ?? 0
        while left > 0 || partitions.contains(where: { consumer.position(of: $0) ?? 0 < ends[$0] ?? 0 }) {
            for record in try await consumer.nextBatches(timeout: .milliseconds(200)).lazy.flatMap({ $0 }) {
                left -= 1
                say(
                    Told(
                        partition: record.partition, offset: record.offset, timestamp: record.timestamp,
                        key: record.key.map { Data($0.bytes) }, value: record.value.map { Data($0.bytes) },
                        headers: record.headers.map { .init(key: $0.key, value: $0.value.map { Data($0) }) }))
            }
        }
        await consumer.close()
    }
}

struct WriteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "write", abstract: "Transactions of a few records to each partition, some of them aborted.",
        discussion: "The number of each transaction stands in its values. Every third is aborted.")

    private struct OnPurpose: Error {}

    @OptionGroup var connecting: Connecting
    @Option var topic: String
    @Option var partitions: Int32
    @Option(help: "The transactional id.") var id: String
    @Option(help: "How many transactions.") var count: Int
    @Option(help: "none, gzip, snappy, lz4 or zstd.") var compression = "none"

    func run() async throws {
        connecting.startLogging()
        var configuration = try connecting.producer()
        configuration.transactionalId = id
        configuration.compression =
            switch compression {
            case "none": .none
            case "gzip": .gzip
            case "snappy": .snappy
            case "lz4": .lz4
            case "zstd": .zstd
            default: throw ValidationError("no codec is called \(compression)")
            }
        let producer = try Producer(configuration: configuration)
        for number in 0..<count {
            let isAborted = number % 3 == 2
            do {
                try await producer.withTransaction { open in
                    for partition in 0..<partitions {
                        let value = Array("\(isAborted ? "aborted" : "committed")-\(number)".utf8)
                        try await open.send(ProducerRecord(topic: topic, partition: partition, value: value))
                    }
                    if isAborted { throw OnPurpose() }
                }
            } catch is OnPurpose {
            }
        }
        await producer.close()
    }
}

struct MoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Has other brokers have a partition, and the first of them lead it; waits for both.")

    @OptionGroup var connecting: Connecting
    @Option var topic: String
    @Option var partition: Int32
    @Option(help: "Brokers, separated by commas; the first one leads.") var replicas: String

    func run() async throws {
        connecting.startLogging()
        let admin = try Admin(configuration: AdminConfiguration(bootstrapServers: try connecting.addresses))
        let place = TopicPartition(topic, partition)
        let wanted = replicas.split(separator: ",").compactMap { Int32($0) }
        try await admin.alterReassignments([place: wanted])[place]!.get()
        let end = ContinuousClock.now + .seconds(30)
        while try await !admin.reassignments(of: [place]).isEmpty {
            guard ContinuousClock.now < end else { throw ValidationError("the replicas do not come") }
            try await Task.sleep(for: .milliseconds(50))
        }
        if case .failure(let error)? = try await admin.electLeaders(of: [place])[place] {
            // ELECTION_NOT_NEEDED: it leads already.
            guard error.brokerErrorCode == 84 else { throw error }
        }
        while true {
            let found = try await admin.describeTopic(topic).partitions[Int(partition)]
            if found.leader == wanted[0], found.replicas == wanted { break }
            guard ContinuousClock.now < end else { throw ValidationError("it is led otherwise: \(found)") }
            try await Task.sleep(for: .milliseconds(50))
        }
        await admin.close()
    }
}
