/// A 128-bit identifier as the protocol writes it: 16 bytes, the most significant first. Topics, log directories and
/// member ids use it; people see it as 22 characters of URL-safe base64 without padding, as Kafka's tools print it.
package struct Uuid: Hashable, Sendable {
    package var high: UInt64
    package var low: UInt64

    package static let zero = Uuid(high: 0, low: 0)

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A random id (version 4) that never begins with '-' when printed: tools would take it for an option.
    package static func random(using generator: inout some RandomNumberGenerator) -> Uuid {
        while true {
            let high = (generator.next() as UInt64) & 0xFFFF_FFFF_FFFF_0FFF | 0x0000_0000_0000_4000
            let low = (generator.next() as UInt64) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
            if high >> 58 != 62 { return Uuid(high: high, low: low) }
        }
    }

    package static func random() -> Uuid {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }
}

extension Uuid: CustomStringConvertible, LosslessStringConvertible {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// URL-safe base64, 22 characters.
    package var description: String {
        var characters: [UInt8] = []
        characters.reserveCapacity(22)
        for index in 0..<22 {
            // Six bits from the left; the last character holds two bits and four zeros.
            let shift = 122 - index * 6
            let sixBits: UInt64
            if shift >= 64 {
                sixBits = high >> UInt64(shift - 64)
            } else if shift > 58 {
                sixBits = high << UInt64(64 - shift) | low >> UInt64(shift)
            } else if shift >= 0 {
                sixBits = low >> UInt64(shift)
            } else {
                sixBits = low << UInt64(-shift)
            }
            characters.append(Uuid.alphabet[Int(sixBits & 63)])
        }
        return String(decoding: characters, as: UTF8.self)
    }

    package init?(_ description: String) {
        let characters = Array(description.utf8)
        guard characters.count == 22 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for (index, character) in characters.enumerated() {
            guard let value = Uuid.alphabet.firstIndex(of: character) else { return nil }
            let bits = index == 21 ? 2 : 6
            guard index < 21 || value & 15 == 0 else { return nil }
            high = high << UInt64(bits) | low >> UInt64(64 - bits)
            low = low << UInt64(bits) | UInt64(value) >> UInt64(6 - bits)
        }
        self.init(high: high, low: low)
    }

    /// 32 hexadecimal digits in groups, the usual form of a UUID; group member ids carry it.
    package var hyphenated: String {
        func hexadecimal(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: digits - text.count) + text
        }
        return [
            hexadecimal(high >> 32, 8), hexadecimal(high >> 16 & 0xFFFF, 4), hexadecimal(high & 0xFFFF, 4),
            hexadecimal(low >> 48, 4), hexadecimal(low & 0xFFFF_FFFF_FFFF, 12),
        ].joined(separator: "-")
    }
}
