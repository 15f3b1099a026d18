import NIOCore

extension Consumer {
    /// Commits what the application is done with, when that happens by itself, leaves the group and ends the connections:
    /// within `closeTimeout`. A loop that waits for records ends; later calls throw `closed`. Returns when it is over,
    /// also for further calls and when the task is cancelled; in a `RebalanceListener` it returns at once.
    public func close() async {
        let task = closing.withLock { closing in
            if let closing { return closing }
            let task = Task.detached { [driver, link, ownsCluster, configuration] in
                await Consumer.close(driver, link, ownsCluster, configuration)
            }
            closing = task
            return task
        }
        // What the listener is called from is a part of that.
        if !ConsumerGroupLink.isInListener { await task.value }
    }

    private static func close(
        _ driver: ConsumerDriver, _ link: ConsumerGroupLink?, _ ownsCluster: Bool,
        _ configuration: ConsumerConfiguration
    ) async {
        let (gate, done) = driver.change { shared in
            let done = shared.done
            shared.application.isClosing = true
            shared.interruptCurrent()
            return (shared.application.takeGate(), done)
        }
        for continuation in gate { continuation.resume() }
        link?.stop()
        if let link, configuration.isAutoCommitEnabled {
            link.commits.commitInBackground(link.commits.news(in: done))
        }
        await end(driver, link, ownsCluster, ContinuousClock.now + configuration.closeTimeout)
    }

    /// Leaves the group and ends the connections.
    static func end(
        _ driver: ConsumerDriver, _ link: ConsumerGroupLink?, _ ownsCluster: Bool, _ deadline: ContinuousClock.Instant
    ) async {
        if let link {
            link.willLeave()
            let finished = OneShot<Void>()
            let goodbye = Task {
                // Half of the time: the other members wait for the goodbye.
                let drained = OneShot<Void>()
                Task {
                    await link.commits.drain()
                    drained.complete(())
                }
                let half = driver.loop.scheduleTask(
                    in: TimeAmount(max(.zero, ContinuousClock.now.duration(to: deadline) / 2))
                ) { drained.complete(()) }
                _ = await drained.wait(isCancellable: false)
                half.cancel()
                do throws(ClientError) {
                    try await link.leave()
                } catch {
                    driver.logger.warning("consumer.leave.failed", metadata: ["error": "\(error)"])
                }
                finished.complete(())
            }
            let limit = driver.loop.scheduleTask(
                in: TimeAmount(max(.zero, ContinuousClock.now.duration(to: deadline)))
            ) {
                goodbye.cancel()
                finished.complete(())
            }
            _ = await finished.wait(isCancellable: false)
            limit.cancel()
        }
        await withCheckedContinuation { continuation in
            driver.loop.execute {
                driver.shared.withLock { $0.core.end(ClientError(.closed, "the consumer is closed")) }
                driver.close()
                continuation.resume()
            }
        }
        if ownsCluster { await driver.cluster.close() }
    }
}
