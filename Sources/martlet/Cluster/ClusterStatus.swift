import ArgumentParser
import MartletClient

struct ClusterStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the brokers, what they lead, and which partitions lack replicas.",
        discussion: """
            A partition is under-replicated when a replica is not in sync, and offline when nobody leads it. LAG is how many \
            records a replica knows that it lacks. Ends with code 1 when a partition is offline.

              martlet cluster status --bootstrap-server 127.0.0.1:9092,127.0.0.1:9093
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let report = try await connection.withCluster { try await ClusterReport($0) }
        print(output.json ? report.json.documentText : report.text, terminator: output.json ? "\n" : "")
        if !report.offline.isEmpty { throw ExitCode.failure }
    }
}

/// What the cluster says of itself, put together.
struct ClusterReport {
    struct Broker {
        var id: Int32
        var address: String
        var isController: Bool
        var leads: Int
        var replicas: Int
        /// Replicas of its that are not in sync.
        var outOfSync: Int
        /// Records that its replicas lack; nil when it does not answer.
        var lag: Int64?
    }

    struct Partition {
        var name: String
        var leader: Int32?
        var replicas: [Int32]
        var inSync: [Int32]
    }

    var clusterId: String
    var brokers: [Broker] = []
    var partitions = 0
    var underReplicated: [Partition] = []
    var offline: [Partition] = []

    init(_ cluster: Cluster) async throws {
        let administrator = Admin(cluster: cluster)
        let topics = try await administrator.topics(includingInternal: true)
        let view = await cluster.view
        clusterId = view.clusterId ?? ""
        var leads: [Int32: Int] = [:]
        var replicas: [Int32: Int] = [:]
        var outOfSync: [Int32: Int] = [:]
        for topic in topics {
            for partition in topic.partitions {
                partitions += 1
                if let leader = partition.leader { leads[leader, default: 0] += 1 }
                for replica in partition.replicas {
                    replicas[replica, default: 0] += 1
                    if !partition.inSyncReplicas.contains(replica) { outOfSync[replica, default: 0] += 1 }
                }
                let entry = Partition(
                    name: "\(topic.name)-\(partition.number)", leader: partition.leader, replicas: partition.replicas,
                    inSync: partition.inSyncReplicas)
                if partition.leader == nil { offline.append(entry) }
                if partition.inSyncReplicas.count < partition.replicas.count { underReplicated.append(entry) }
            }
        }
        let known = Set(view.brokers.keys).union(replicas.keys)
        for id in known.sorted() {
            var lag: Int64?
            if view.brokers[id] != nil { lag = try? await administrator.replicaLag(of: id) }
            brokers.append(
                Broker(
                    id: id, address: view.brokers[id].map(\.description) ?? "away",
                    isController: id == view.controllerId, leads: leads[id] ?? 0, replicas: replicas[id] ?? 0,
                    outOfSync: outOfSync[id] ?? 0, lag: lag))
        }
    }

    var json: JSONValue {
        func list(_ partitions: [Partition]) -> JSONValue {
            .array(
                partitions.map { partition in
                    .object([
                        .init("partition", .string(partition.name)), .init("leader", .optional(partition.leader)),
                        .init("replicas", .array(partition.replicas.map { .number($0) })),
                        .init("isr", .array(partition.inSync.map { .number($0) })),
                    ])
                })
        }
        return .object([
            .init("clusterId", .string(clusterId)), .init("partitions", .number(partitions)),
            .init(
                "brokers",
                .array(
                    brokers.map { broker in
                        .object([
                            .init("id", .number(broker.id)), .init("address", .string(broker.address)),
                            .init("controller", .bool(broker.isController)), .init("leads", .number(broker.leads)),
                            .init("replicas", .number(broker.replicas)),
                            .init("outOfSync", .number(broker.outOfSync)), .init("lag", .optional(broker.lag)),
                        ])
                    })),
            .init("underReplicated", list(underReplicated)), .init("offline", list(offline)),
        ])
    }

    var text: String {
        var text = "Cluster: \(clusterId)\n"
        text += "Partitions: \(partitions), under-replicated \(underReplicated.count), offline \(offline.count)\n"
        let table = TextTable(
            [
                .number("BROKER"), .text("ADDRESS"), .text("ROLE"), .number("LEADS"), .number("REPLICAS"),
                .number("OUT-OF-SYNC"), .number("LAG"),
            ],
            brokers.map { broker in
                [
                    "\(broker.id)", broker.address, broker.isController ? "controller" : "-", "\(broker.leads)",
                    "\(broker.replicas)", "\(broker.outOfSync)", broker.lag.map { "\($0)" } ?? "?",
                ]
            })
        text += table.render(styled: Terminal.usesColour)
        let troubled = offline + underReplicated.filter { $0.leader != nil }
        guard !troubled.isEmpty else { return text }
        let shown = troubled.prefix(20)
        let list = TextTable(
            [.text("PARTITION"), .number("LEADER"), .text("REPLICAS"), .text("ISR")],
            shown.map { partition in
                [
                    partition.name, partition.leader.map { "\($0)" } ?? "none",
                    partition.replicas.map { "\($0)" }.joined(separator: ","),
                    partition.inSync.map { "\($0)" }.joined(separator: ","),
                ]
            })
        text += "\n" + list.render(styled: Terminal.usesColour)
        if troubled.count > shown.count { text += "… and \(troubled.count - shown.count) more; --json lists all\n" }
        return text
    }
}
