import CommitLog
import Glibc

/// What goes wrong, when and for how long.
final class Nemesis {
    enum Trouble: CaseIterable {
        case kill, powerFailure, cleanStop, pause, cutNode, cutWay, cutClient, cutFromEtcd, cutWayToEtcd,
            cutWayFromEtcd, etcdDown, clockJump, diskFailure, resets, compactEtcd, killAll
    }

    enum PowerFailures {
        case none
        /// Of one node at a time, when all others are well, and until it is known they are left alone. (A controller that has
        /// yet to learn that a node is gone may take another out of the in-sync set in its favour.)
        case alone
        case any
    }

    private unowned let world: World
    private let pace: Double
    private var weights: [(Trouble, Int)] = []
    private var isOver = false
    /// Each kind has its turn to be the first, in one run after the other.
    private var first: Trouble?
    /// Nothing else happens until a power failure is over.
    private var isHeldBack = false
    let powerFailures: PowerFailures

    init(_ world: World) {
        self.world = world
        pace = world.timeline.pick([1500, 4000, 10_000])
        let drawn = world.timeline.pick([PowerFailures.none, .alone, .any])
        powerFailures = world.plant.powerFailures ?? drawn
        for trouble in Trouble.allCases {
            // Each run has habits of its own, so that rare things come together in some.
            var weight = world.timeline.pick([0, 1, 1, 4])
            if trouble == .powerFailure, powerFailures == .none { weight = 0 }
            if trouble == .powerFailure, powerFailures == .alone { weight += 2 }
            if trouble == .diskFailure, powerFailures == .alone { weight = 0 }
            if trouble == .killAll || trouble == .diskFailure { weight = min(weight, 1) }
            if trouble == .cleanStop, world.timeline.chance(0.15) { weight = 20 }
            // Where a planted bug needs power failures, nothing else stands in their way.
            if world.plant.powerFailures != nil { weight = trouble == .powerFailure ? 1 : 0 }
            weights.append((trouble, weight))
        }
        let turn = Trouble.allCases[Int(world.options.seed % UInt64(Trouble.allCases.count))]
        let isPossible =
            switch turn {
            case .powerFailure: powerFailures != .none
            case .diskFailure: powerFailures != .alone
            default: world.plant.powerFailures == nil
            }
        first = isPossible ? turn : nil
    }

    private var timeline: Timeline { world.timeline }

    func start() {
        timeline.after(timeline.between(pace / 4, first == nil ? pace * 2 : pace / 2), "trouble") { [self] in
            guard !isOver else { return }
            if !isHeldBack { makeTrouble() }
            start()
        }
    }

    private func makeTrouble() {
        if let first {
            self.first = nil
            return carryOut(first)
        }
        let sum = weights.reduce(0) { $0 + $1.1 }
        guard sum > 0 else { return }
        var drawn = Int.random(in: 0..<sum, using: &timeline.random)
        for (trouble, weight) in weights {
            drawn -= weight
            if drawn < 0 { return carryOut(trouble) }
        }
    }

    private func later(_ least: Double, _ most: Double, _ body: @escaping () -> Void) {
        timeline.after(timeline.between(least, most), "trouble-ends") { [self] in if !isOver { body() } }
    }

    private func carryOut(_ trouble: Trouble) {
        let node = timeline.pick(world.nodes)
        world.count("\(trouble)")
        switch trouble {
        case .kill: end(node, powerFailure: false)
        case .powerFailure where powerFailures == .alone:
            isHeldBack = true
            loseNothingElse(node, since: timeline.now)
        case .powerFailure: end(node, powerFailure: true)
        case .killAll:
            let powerFailure = powerFailures == .any && timeline.chance(0.7)
            for node in world.nodes.shuffled(using: &timeline.random) { end(node, powerFailure: powerFailure) }
        case .cleanStop:
            node.stopCleanly()
            later(6000, 12_000) { node.start() }
        case .pause:
            world.note("node \(node.id) is paused")
            // What waits already keeps its place.
            node.pausedUntil = max(
                node.pausedUntil, timeline.now + timeline.between(50, timeline.pick([500, 2500, 15_000])))
        case .cutNode: cutOff(node)
        case .cutWay:
            let other = timeline.pick(world.nodes.filter { $0.id != node.id })
            let link = SimulatedNetwork.Link(from: .node(node.id), to: .node(other.id))
            world.note("nothing comes from node \(node.id) to \(other.id)")
            world.network.blocked.insert(link)
            later(200, 12_000) { [self] in world.network.blocked.remove(link) }
        case .cutFromEtcd:
            world.note("node \(node.id) is cut from etcd")
            cutEtcd(node, reaches: false, hears: false)
        case .cutWayToEtcd:
            world.note("nothing comes from node \(node.id) to etcd")
            cutEtcd(node, reaches: false, hears: true)
        case .cutWayFromEtcd:
            world.note("nothing comes from etcd to node \(node.id)")
            cutEtcd(node, reaches: true, hears: false)
        case .cutClient: cutClient(from: node)
        case .etcdDown:
            world.note("etcd is down")
            world.etcd.setDown(true)
            later(200, 10_000) { [self] in world.etcd.setDown(false) }
        case .clockJump:
            node.clock.error += Int64.random(in: -120_000...120_000, using: &timeline.random)
            if timeline.chance(0.3) { node.clock.error = 0 }
        case .diskFailure: failDisk(of: node)
        case .resets:
            for stream in world.network.streams where !stream.isOver && timeline.chance(0.5) { stream.reset() }
        case .compactEtcd:
            // Whoever has not heard of everything meanwhile must read all anew.
            cutEtcd(node, reaches: true, hears: false)
            later(3000, 10_000) { [self] in world.etcd.compact(keeping: timeline.pick([0, 0, 2])) }
        }
    }

    private func end(_ node: SimulatedNode, powerFailure: Bool) {
        node.kill(powerFailure: powerFailure)
        later(100, timeline.pick([1000, 8000])) { node.start() }
    }

    /// The power fails when all has been well for a while.
    private func loseNothingElse(_ node: SimulatedNode, since: Int64) {
        guard isCalm else {
            return later(500, 500) { [self] in loseNothingElse(node, since: timeline.now) }
        }
        guard timeline.now - since > .seconds(6) else {
            return later(500, 500) { [self] in loseNothingElse(node, since: since) }
        }
        end(node, powerFailure: true)
        waitUntilKnown()
    }

    private func waitUntilKnown() {
        later(200, 200) { [self] in
            if world.invariants.isExposed { waitUntilKnown() } else { isHeldBack = false }
        }
    }

    private var isCalm: Bool {
        world.nodes.allSatisfy { node in
            node.isHealthy && node.pausedUntil <= timeline.now && node.reachesEtcd && node.hearsEtcd
        } && !world.etcd.isDown && world.network.blocked.isEmpty && world.invariants.cachedIsInSync
    }

    private func cutEtcd(_ node: SimulatedNode, reaches: Bool, hears: Bool) {
        node.reachesEtcd = reaches
        node.hearsEtcd = hears
        later(200, 12_000) {
            node.reachesEtcd = true
            node.hearsEtcd = true
        }
    }

    /// One client and one node, or all of them, in both directions or in one.
    private func cutClient(from node: SimulatedNode) {
        let client = Place.client(timeline.pick(world.clients))
        let nodes = timeline.chance(0.5) ? world.nodes : [node]
        let ways = timeline.pick([[true, false], [true], [false]])
        let links = nodes.flatMap { node in
            ways.map {
                SimulatedNetwork.Link(from: $0 ? client : .node(node.id), to: $0 ? .node(node.id) : client)
            }
        }
        world.note("cut: \(links.map { "\($0.from) to \($0.to)" })")
        world.network.blocked.formUnion(links)
        later(200, 12_000) { [self] in world.network.blocked.subtract(links) }
    }

    /// Nobody but etcd, and sometimes not even that one, hears of the node.
    private func cutOff(_ node: SimulatedNode) {
        world.note("node \(node.id) is cut off")
        let others = world.nodes.filter { $0.id != node.id }
        let links = others.flatMap {
            [
                SimulatedNetwork.Link(from: .node(node.id), to: .node($0.id)),
                SimulatedNetwork.Link(from: .node($0.id), to: .node(node.id)),
            ]
        }
        world.network.blocked.formUnion(links)
        let fromEtcd = timeline.chance(0.5)
        if fromEtcd { cutEtcd(node, reaches: false, hears: false) }
        later(500, 12_000) { [self] in world.network.blocked.subtract(links) }
    }

    private func failDisk(of node: SimulatedNode) {
        let operation = timeline.pick([FileSystemError.Operation.write, .synchronize])
        let code = operation == .write ? timeline.pick([EIO, ENOSPC]) : EIO
        world.note("the disk of node \(node.id) fails at the next \(operation)")
        node.inject(
            SimulatedFileSystem.Fault(
                operation, pathSuffix: ".log", code: code, after: Int.random(in: 0..<5, using: &timeline.random),
                times: Int.random(in: 1...3, using: &timeline.random)))
        later(500, 6000) { [self] in
            node.repairDisk()
            guard !node.isHealthy, node.isUp else { return }
            // A node whose disk failed is started again by its operator.
            end(node, powerFailure: false)
        }
    }

    /// All is mended, for good.
    func end() {
        isOver = true
        world.isHealing = true
        world.note("all is mended")
        world.network.blocked.removeAll()
        world.etcd.setDown(false)
        for node in world.nodes {
            node.reachesEtcd = true
            node.hearsEtcd = true
            node.clock.settle()
            node.repairDisk()
            if node.isUp, !node.isHealthy { node.kill(powerFailure: false) }
            node.start()
        }
    }
}
