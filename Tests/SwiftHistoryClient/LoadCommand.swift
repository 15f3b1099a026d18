import ArgumentParser
import Foundation
import MartletClient
import Synchronization
import TestSupport

struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Many clients in one process, all recorded.",
        discussion: """
            Tells what each has done, and what each group has been given, as a JSON object every 100 ms. A line of standard
            input that says "writers" ends those that write, one that says "all" all of them, and the process.
            """)

    @OptionGroup var connecting: Connecting
    @Option(help: "The topic.") var topic: String
    @Option(help: "How many partitions it has.") var partitions: Int32
    @Option(help: "The history's file.") var history: String
    @Option(help: "The name of this process in the history.") var name = "swift"
    @Option(help: "What chance begins with.") var seed: UInt64
    @Option(help: "Idempotent producers.") var producers = 0
    @Option(help: "Transactional producers.") var transactional = 0
    @Option(help: "Milliseconds between what an idempotent producer sends.") var pause = 10
    @Option(help: "Readers of all partitions, half of them at read_committed.") var readers = 0
    @Option(name: .customLong("group"), parsing: .singleValue, help: "PROTOCOL:GROUP:MEMBERS[:auto]; may be repeated.")
    var groups: [GroupOption] = []

    func run() async throws {
        connecting.startLogging()
        let recorder = try HistoryRecorder(path: history)
        var chance = SeededGenerator(seed: seed)
        func context(_ kind: String, _ index: Int) -> LoadContext {
            LoadContext(
                name: "\(name)-\(kind)-\(index)", topic: topic, partitions: partitions, recorder: recorder,
                connecting: connecting, seed: chance.next())
        }
        var writers: [any LoadClient] = (0..<producers).map {
            IdempotentWriter(context("producer", $0), pause: .milliseconds(pause))
        }
        writers += (0..<transactional).map { TransactionalWriter(context("transactional", $0)) }
        let progress = groups.map { GroupProgress(name: $0.name) }
        var consumers: [any LoadClient] = zip(groups, progress).flatMap { group, progress in
            (0..<group.members).map {
                GroupReader(
                    context(group.name, $0), group: progress, membership: group.membership,
                    isAutomatic: group.isAutomatic)
            }
        }
        consumers += (0..<readers).map {
            PlainReader(context("reader", $0), $0.isMultiple(of: 2) ? .readCommitted : .readUncommitted)
        }
        await run(writers, consumers, progress)
    }

    private struct Report: Encodable {
        var clients: [String: Progress] = [:]
        var groups: [String: Int] = [:]
        var writersHaveEnded = false
    }

    private func run(_ writers: [any LoadClient], _ consumers: [any LoadClient], _ groups: [GroupProgress]) async {
        let clients = writers + consumers
        let writersHaveEnded = Atomic(false)
        let report = { @Sendable in
            say(
                Report(
                    clients: Dictionary(uniqueKeysWithValues: clients.map { ($0.common.name, $0.common.progress) }),
                    groups: Dictionary(uniqueKeysWithValues: groups.map { ($0.name, $0.distinct) }),
                    writersHaveEnded: writersHaveEnded.load(ordering: .relaxed)))
        }
        let orders = Thread {
            while let order = readLine() {
                for client in order == "writers" ? writers : clients { client.common.stop() }
            }
            // Whoever gave the orders is gone.
            for client in clients { client.common.stop() }
        }
        orders.start()
        let reports = Task {
            while !Task.isCancelled {
                report()
                do { try await Task.sleep(for: .milliseconds(100)) } catch { return }
            }
        }
        await withDiscardingTaskGroup { group in
            for client in consumers { group.addTask { await Self.watch(client) } }
            await withDiscardingTaskGroup { group in
                for client in writers { group.addTask { await Self.watch(client) } }
            }
            writersHaveEnded.store(true, ordering: .relaxed)
        }
        reports.cancel()
        await reports.value
        report()
    }

    private static func watch(_ client: any LoadClient) async {
        do {
            try await client.run()
        } catch {
            client.common.fail(error)
        }
    }
}

struct GroupOption: ExpressibleByArgument {
    let membership: Membership
    let name: String
    let members: Int
    let isAutomatic: Bool

    init?(argument: String) {
        let parts = argument.split(separator: ":").map(String.init)
        guard parts.count == 3 || parts.count == 4, let membership = Membership(rawValue: parts[0]),
            let members = Int(parts[2]), parts.count == 3 || parts[3] == "auto"
        else { return nil }
        self.membership = membership
        name = parts[1]
        self.members = members
        isAutomatic = parts.count == 4
    }
}
