#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

package struct SystemClock: BrokerClock {
    package init() {}

    package var wallMilliseconds: Int64 { SystemClock.read(CLOCK_REALTIME) / 1_000_000 }
    package var monotonicNanoseconds: Int64 { SystemClock.read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
