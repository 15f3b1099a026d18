/// When the records of a run are due: at once, or at a steady rate.
struct Pace {
    let start: ContinuousClock.Instant
    /// Records a second; nil for as fast as possible.
    let rate: Int?

    /// When record `index` is due; nil when it needs not wait.
    func due(_ index: Int) -> ContinuousClock.Instant? {
        rate.map { start + .seconds(1) * (Double(index) / Double($0)) }
    }
}
