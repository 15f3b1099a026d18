import Testing

@testable import GroupCoordinator

/// Whole stories with their whole traces. `Scenario` explains the notation.
@Suite struct ScenarioTests {
    @Test func classicGroupFromTheFirstMemberToTheLast() {
        let script = """
            > topics 2
            > join a
            a <- JoinGroup MEMBER_ID_REQUIRED
            > join a
            > at 1000
            > join b
            b <- JoinGroup MEMBER_ID_REQUIRED
            > join b
            > at 6000
            a <- JoinGroup generation=1 leader=a members=a,b
            b <- JoinGroup generation=1 leader=a members=
            > sync b
            > sync a a=zero b=one
            append GroupMetadata generation=1 leader=a members=a:zero,b:one
            a <- SyncGroup zero
            b <- SyncGroup one
            > at 12000
            > heartbeat a
            a <- Heartbeat NONE
            > commit b t0-1=17
            append OffsetCommit t0-1=17
            b <- OffsetCommit NONE
            > at 20000
            > heartbeat a
            a <- Heartbeat NONE
            > at 22000
            > heartbeat a
            a <- Heartbeat REBALANCE_IN_PROGRESS
            > join a
            a <- JoinGroup generation=2 leader=a members=a
            > sync a a=both
            append GroupMetadata generation=2 leader=a members=a:both
            a <- SyncGroup both
            > restart
            > fetch t0-1
            OffsetFetch 17
            > heartbeat a
            a <- Heartbeat NONE
            > leave a
            append GroupMetadata generation=3 leader=none members=
            a <- LeaveGroup [NONE]
            """
        #expect(Scenario().run(script) == script)
    }

    @Test func staticMemberRestarts() {
        let script = """
            > topics 2
            > join a instance=x
            > join b instance=y
            > at 3000
            > at 6000
            a <- JoinGroup generation=1 leader=a members=a,b
            b <- JoinGroup generation=1 leader=a members=
            > sync a a=zero b=one
            append GroupMetadata generation=1 leader=a members=a:zero,b:one
            a <- SyncGroup zero
            > sync b
            b <- SyncGroup one
            > join a2 instance=x
            append GroupMetadata generation=1 leader=a2 members=a2:zero,b:one
            a2 <- JoinGroup generation=1 leader=a2 members=a2,b skipAssignment
            > sync a2
            a2 <- SyncGroup zero
            > heartbeat a
            a <- Heartbeat FENCED_INSTANCE_ID
            > heartbeat b
            b <- Heartbeat NONE
            """
        #expect(Scenario().run(script) == script)
    }

    @Test func assignmentThatCouldNotBeWritten() {
        let script = """
            > topics 2
            > join a
            a <- JoinGroup MEMBER_ID_REQUIRED
            > join a
            > at 3000
            a <- JoinGroup generation=1 leader=a members=a
            > hold
            > sync a a=both
            append GroupMetadata generation=1 leader=a members=a:both
            > fail
            a <- SyncGroup NOT_COORDINATOR
            > restart
            > release
            > heartbeat a
            a <- Heartbeat UNKNOWN_MEMBER_ID
            """
        #expect(Scenario().run(script) == script)
    }

    @Test func consumerGroupHandsPartitionsOver() {
        let script = """
            > topics 3
            > consumer a
            append Member a t0
            append Subscription t0(3)
            append GroupEpoch 1
            append Target a t0-0,t0-1,t0-2
            append TargetEpoch 1
            append Current a epoch=1 stable t0-0,t0-1,t0-2
            a <- ConsumerGroupHeartbeat epoch=1 assignment=t0-0,t0-1,t0-2
            > consumer b
            append Member b t0
            append GroupEpoch 2
            append Target a t0-0,t0-1
            append Target b t0-2
            append TargetEpoch 2
            append Current b epoch=2 unreleasedPartitions 
            b <- ConsumerGroupHeartbeat epoch=2 assignment=
            > consumer a
            append Current a epoch=1 unrevokedPartitions t0-0,t0-1 revoking=t0-2
            a <- ConsumerGroupHeartbeat epoch=1 assignment=t0-0,t0-1
            > consumer b
            append Current b epoch=2 unreleasedPartitions 
            b <- ConsumerGroupHeartbeat epoch=2
            > consumer a
            append Current a epoch=2 stable t0-0,t0-1
            a <- ConsumerGroupHeartbeat epoch=2
            > consumer b
            append Current b epoch=2 stable t0-2
            b <- ConsumerGroupHeartbeat epoch=2 assignment=t0-2
            > commit b t0-2=9
            append OffsetCommit t0-2=9
            b <- OffsetCommit NONE
            > restart
            > consumer a
            a <- ConsumerGroupHeartbeat epoch=2
            > consumer b
            b <- ConsumerGroupHeartbeat epoch=2
            > consumer-leave a
            append Current a deleted
            append Target a deleted
            append Member a deleted
            append GroupEpoch 3
            a <- ConsumerGroupHeartbeat epoch=-1
            > consumer b
            append Target b t0-0,t0-1,t0-2
            append TargetEpoch 3
            append Current b epoch=3 stable t0-0,t0-1,t0-2
            b <- ConsumerGroupHeartbeat epoch=3 assignment=t0-0,t0-1,t0-2
            """
        #expect(Scenario().run(script) == script)
    }

    @Test func consumerGroupWithAStaticMember() {
        let script = """
            > topics 2
            > consumer a instance=x
            append Member a t0
            append Subscription t0(2)
            append GroupEpoch 1
            append Target a t0-0,t0-1
            append TargetEpoch 1
            append Current a epoch=1 stable t0-0,t0-1
            a <- ConsumerGroupHeartbeat epoch=1 assignment=t0-0,t0-1
            > consumer-leave a static
            append Current a epoch=-2 stable t0-0,t0-1
            a <- ConsumerGroupHeartbeat epoch=-2
            > consumer a2 instance=x
            append Current a deleted
            append Target a deleted
            append Member a deleted
            append Member a2 t0
            append Target a2 t0-0,t0-1
            append Current a2 epoch=0 stable t0-0,t0-1
            append Current a2 epoch=1 stable t0-0,t0-1
            a2 <- ConsumerGroupHeartbeat epoch=1 assignment=t0-0,t0-1
            > at 44999
            > consumer a2
            a2 <- ConsumerGroupHeartbeat epoch=1
            > at 89999
            append Current a2 deleted
            append Target a2 deleted
            append Member a2 deleted
            append Subscription 
            append GroupEpoch 2
            > consumer a2
            a2 <- ConsumerGroupHeartbeat UNKNOWN_MEMBER_ID
            """
        #expect(Scenario().run(script) == script)
    }
}
