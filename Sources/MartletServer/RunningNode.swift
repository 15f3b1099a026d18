import Broker
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// A node that serves, and how it ends.
package final class RunningNode: Sendable {
    package let broker: Broker
    let acceptor: ConnectionAcceptor
    let maintenance: BrokerMaintenance
    private let group: MultiThreadedEventLoopGroup
    private let otherChannels = Mutex<[any Channel]>([])

    init(
        broker: Broker, group: MultiThreadedEventLoopGroup, acceptor: ConnectionAcceptor, maintenance: BrokerMaintenance
    ) {
        self.broker = broker
        self.group = group
        self.acceptor = acceptor
        self.maintenance = maintenance
    }

    func closeAtEnd(_ channel: any Channel) {
        otherChannels.withLock { $0.append(channel) }
    }

    /// Ends the node cleanly: what was begun is finished and answered, and the next start has nothing to recover.
    package func stop() async throws {
        if broker.isClustered, broker.configuration.bool("controlled.shutdown.enable") {
            // While it goes on serving, others take over what it leads.
            await withCheckedContinuation { continuation in broker.membership.handOver { continuation.resume() } }
        }
        await acceptor.stopAccepting()
        await Node.outsideTasks { [broker] in broker.quiesce() }
        await acceptor.closeAll()
        maintenance.stop()
        let failure = await Node.outsideTasks { [broker] in
            do {
                try broker.close()
                return nil as NodeError?
            } catch {
                return NodeError(
                    "stopped, but the logs could not be closed cleanly: \(Node.explain(error)); "
                        + "nothing acknowledged is lost, the next start recovers them")
            }
        }
        await release()
        if let failure { throw failure }
    }

    /// Ends the node as `kill -9` does: nothing more is answered or written, and the next start recovers. `machine` is
    /// called when the files are not used any more, for a simulated disk to lose what it would lose.
    package func crash(_ machine: @Sendable () -> Void) async {
        await acceptor.stopAccepting()
        await acceptor.closeAll()
        broker.logs.abandon()
        machine()
        broker.quiesce()
        maintenance.stop()
        broker.cluster.close()
        await release()
    }

    private func release() async {
        for channel in otherChannels.withLock({ $0 }) {
            do {
                try await channel.close()
            } catch {
                broker.logger.debug("listener.close", metadata: ["error": "\(error)"])
            }
        }
        do {
            try await group.shutdownGracefully()
        } catch {
            broker.logger.error("node.threads-not-ended", metadata: ["error": "\(error)"])
        }
    }
}
