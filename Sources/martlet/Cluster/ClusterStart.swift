import ArgumentParser
import Foundation
import MartletClient

struct ClusterStart: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start",
        abstract: "Start etcd and some nodes on loopback, and stop them all with Ctrl-C.",
        discussion: """
            For trying and for tests: a cluster that survives the loss of a machine needs machines. The data stays in the \
            folder, and the next start goes on with it.

              martlet cluster start --brokers 3 --data ./cluster

            Each node's output is in NODE/log in that folder. Kill one and watch: martlet cluster status
            """)

    @Option(name: .customLong("brokers"), help: "How many nodes.")
    var count: Int = 3

    @Option(name: .shortAndLong, help: "The folder of the data.")
    var data: String = "martlet-cluster"

    @Option(help: "The first node's port; the others take the next ones.")
    var port: Int = 9092

    @Option(help: "etcd's port for the nodes; its own peers take the next one.")
    var etcdPort: Int = 2379

    @Option(help: "The program to run as etcd.")
    var etcd: String = "etcd"

    @Option(name: [.customShort("s"), .customLong("set")], help: "A configuration of all nodes, name=value.")
    var overrides: [String] = []

    func validate() throws {
        guard (1...16).contains(count) else { throw ValidationError("--brokers must be between 1 and 16") }
        guard port > 0, port + count <= 65536, etcdPort > 0, etcdPort < 65535 else {
            throw ValidationError("the ports must be between 1 and 65535")
        }
    }

    func run() async throws {
        let processes = LocalCluster(
            folder: data, count: count, port: port, etcdPort: etcdPort, etcd: etcd, overrides: overrides)
        do {
            try await Interruption.cancelling {
                try await processes.start()
                let bootstrap = processes.ports.map { "127.0.0.1:\($0)" }.joined(separator: ",")
                // Not through print's buffer: a script that waits for this line reads a pipe.
                let line = "\(count) nodes are ready. Bootstrap servers: \(bootstrap)\n"
                try FileHandle.standardOutput.write(contentsOf: Data(line.utf8))
                Terminal.note("Their data and output are in \(data). Ctrl-C stops them all.")
                try await processes.watch()
            }
        } catch is CancellationError {
            Terminal.note("Stopping…")
        } catch {
            await processes.stop()
            throw error
        }
        await processes.stop()
    }
}
