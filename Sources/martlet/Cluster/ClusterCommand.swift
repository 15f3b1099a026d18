import ArgumentParser

struct ClusterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster",
        abstract: "Run a cluster on this machine, look at one, and move a node's metadata into one.",
        discussion: """
            Several nodes keep copies of each partition; etcd knows who leads what. To try it, with etcd installed:

              martlet cluster start --brokers 3
              martlet topics create orders --partitions 6 --replication-factor 3
              martlet cluster status
            """,
        subcommands: [ClusterStart.self, ClusterStatus.self, ClusterMigrate.self])
}
