import ArgumentParser

/// A span of time as ISO 8601 writes it: `PT1H`, `PT30M`, `P1DT12H`, `P2W`. Not months and years, whose length varies.
struct TimeSpan: ExpressibleByArgument, Equatable {
    let milliseconds: Int64

    init?(argument: String) {
        var scanner = DigitScanner(argument)
        guard scanner.skip("P") else { return nil }
        var total: Int64 = 0
        var isTime = false
        var hasPart = false
        while !scanner.isAtEnd {
            if !isTime, scanner.skip("T") {
                isTime = true
                hasPart = false
                continue
            }
            guard let number = scanner.number() else { return nil }
            let unit: Int64
            if isTime {
                if scanner.skip("H") {
                    unit = 3_600_000
                } else if scanner.skip("M") {
                    unit = 60_000
                } else if scanner.skip("S") {
                    unit = 1000
                } else {
                    return nil
                }
            } else if scanner.skip("W") {
                unit = 604_800_000
            } else if scanner.skip("D") {
                unit = 86_400_000
            } else {
                return nil
            }
            let (part, overflows) = number.multipliedReportingOverflow(by: unit)
            guard !overflows, part <= Int64.max - total else { return nil }
            total += part
            hasPart = true
        }
        guard hasPart else { return nil }
        milliseconds = total
    }

    /// For `--help`, in the largest unit that divides it.
    var defaultValueDescription: String {
        for (unit, letter) in [(3_600_000 as Int64, "H"), (60_000, "M")] where milliseconds % unit == 0 {
            return "PT\(milliseconds / unit)\(letter)"
        }
        return "PT\(milliseconds / 1000)S"
    }
}
