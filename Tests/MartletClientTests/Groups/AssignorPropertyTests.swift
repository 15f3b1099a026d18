import TestSupport
import Testing

@testable import MartletClient

/// Groups made from seeds whose members come and go, divided again and again.
@Suite struct AssignorPropertyTests {
    private struct Group {
        var counts: [String: Int] = [:]
        var members: [AssignableMember] = []
        var generation: Int32 = 0
        var made = 0
        let isUniform: Bool

        init(using generator: inout SeededGenerator) {
            isUniform = Bool.random(using: &generator)
            for topic in 0..<Int.random(in: 1...4, using: &generator) {
                counts["t\(topic)"] = Int.random(in: 0...9, using: &generator)
            }
            for _ in 0..<Int.random(in: 1...6, using: &generator) { join(&generator) }
        }

        mutating func join(_ generator: inout SeededGenerator) {
            made += 1
            var topics = counts.keys.sorted()
            if !isUniform {
                topics = topics.filter { _ in Int.random(in: 0..<3, using: &generator) > 0 }
            }
            members.append(AssignableMember(id: "m\(made)", topics: topics + ["missing"]))
        }

        mutating func change(_ generator: inout SeededGenerator) {
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: join(&generator)
            case 1 where members.count > 1:
                members.remove(at: Int.random(in: 0..<members.count, using: &generator))
            case 2:
                let topic = counts.keys.sorted().randomElement(using: &generator)!
                counts[topic]! += 1
            default: break
            }
            members.shuffle(using: &generator)
        }

        /// Takes a division over, as members do. One may miss it and keep its claims of before.
        mutating func adopt(_ result: [String: [TopicPartition]], missedBy late: String? = nil) {
            generation += 1
            for index in members.indices where members[index].id != late {
                members[index].owned = result[members[index].id]!
                members[index].generation = generation
            }
        }

        var readable: Int {
            counts.reduce(0) { sum, topic in
                members.contains { $0.topics.contains(topic.key) } ? sum + topic.value : sum
            }
        }
    }

    private func expectDivision(_ group: Group, _ result: [String: [TopicPartition]]) {
        let all = result.values.flatMap { $0 }
        #expect(Set(all).count == all.count)
        #expect(Set(result.keys) == Set(group.members.map(\.id)))
        for member in group.members {
            #expect(result[member.id]!.allSatisfy { member.topics.contains($0.topic) })
        }
        #expect(all.allSatisfy { (0..<Int32(group.counts[$0.topic] ?? 0)).contains($0.partition) })
    }

    /// The least sum of squares, by moving one partition after the other in every possible way.
    private func expectBalance(_ group: Group, _ result: [String: [TopicPartition]]) {
        let sizes = result.mapValues(\.count)
        // Who can get a partition from whom, directly or over others.
        var reachable: [String: Set<String>] = [:]
        for giver in group.members {
            let topics = Set(result[giver.id]!.map(\.topic))
            reachable[giver.id] = Set(
                group.members.filter { !topics.isDisjoint(with: $0.topics) }.map(\.id)
            )
        }
        for _ in group.members {
            for (id, others) in reachable {
                reachable[id] = others.reduce(into: others) { $0.formUnion(reachable[$1]!) }
            }
        }
        for (giver, others) in reachable {
            for other in others { #expect(sizes[other]! >= sizes[giver]! - 1) }
        }
        if group.isUniform { #expect(sizes.values.max()! - sizes.values.min()! <= 1) }
    }

    @Test(arguments: PartitionAssignmentStrategy.all) func everyPartitionHasOneReader(
        _ strategy: PartitionAssignmentStrategy
    ) {
        for seed in 0..<200 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let group = Group(using: &generator)
            let result = strategy.assign(group.members, partitionCounts: group.counts)
            expectDivision(group, result)
            #expect(result.values.map(\.count).reduce(0, +) == group.readable)
            let shuffled = strategy.assign(group.members.shuffled(using: &generator), partitionCounts: group.counts)
            #expect(shuffled == result)
        }
    }

    @Test func stickyStaysBalancedAndMovesLittle() {
        for seed in 0..<300 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var group = Group(using: &generator)
            for _ in 0..<8 {
                let result = StickyAssignor.assign(group.members, partitionCounts: group.counts)
                expectDivision(group, result)
                expectBalance(group, result)
                #expect(result.values.map(\.count).reduce(0, +) == group.readable)
                if group.isUniform { expectLittleMovement(group, result) }
                group.adopt(result)
                // Nothing has changed, so nothing moves.
                #expect(StickyAssignor.assign(group.members, partitionCounts: group.counts) == result)
                group.change(&generator)
            }
        }
    }

    /// With equal subscriptions exactly those partitions move that members have above their share.
    private func expectLittleMovement(_ group: Group, _ result: [String: [TopicPartition]]) {
        let total = group.counts.values.reduce(0, +)
        let (share, larger) = total.quotientAndRemainder(dividingBy: group.members.count)
        let sizes = group.members.map(\.owned.count).sorted(by: >)
        let excess = sizes.enumerated().reduce(0) { sum, entry in
            sum + max(0, entry.element - (share + (entry.offset < larger ? 1 : 0)))
        }
        let moved = group.members.reduce(0) { sum, member in
            sum + Set(member.owned).subtracting(result[member.id]!).count
        }
        #expect(moved == excess)
    }

    @Test func cooperativeNeverGivesWhatOthersHave() {
        for seed in 0..<300 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var group = Group(using: &generator)
            for _ in 0..<8 {
                var rounds = 0
                while true {
                    let before = group.members
                    let result = CooperativeAssignor.assign(group.members, partitionCounts: group.counts)
                    expectDivision(group, result)
                    for member in before {
                        for partition in Set(result[member.id]!).subtracting(member.owned) {
                            #expect(!before.contains { $0.owned.contains(partition) })
                        }
                    }
                    let late =
                        Int.random(in: 0..<4, using: &generator) == 0 ? before.randomElement(using: &generator) : nil
                    group.adopt(result, missedBy: late?.id)
                    rounds += 1
                    let isOver = before.allSatisfy { Set($0.owned).isSubset(of: result[$0.id]!) }
                    if isOver && late == nil { break }
                    #expect(rounds < 40)
                    if rounds >= 40 { break }
                }
                expectBalance(
                    group, Dictionary(uniqueKeysWithValues: group.members.map { ($0.id, $0.owned) }))
                #expect(group.members.map(\.owned.count).reduce(0, +) == group.readable)
                group.change(&generator)
            }
        }
    }
}
