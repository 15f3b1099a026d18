import Broker
import NIOCore

/// A NIO event loop as the broker sees it.
final class NIOEventLoopPort: EventLoopPort {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    var isCurrent: Bool { eventLoop.inEventLoop }

    func execute(_ task: @escaping @Sendable () -> Void) {
        eventLoop.execute(task)
    }

    func schedule(afterNanoseconds delay: Int64, _ task: @escaping @Sendable () -> Void) {
        eventLoop.scheduleTask(in: .nanoseconds(delay), task)
    }
}
