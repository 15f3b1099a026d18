/// The target of `scripts/fuzz`: any bytes, as any message in any version, decode or are refused. What decodes must
/// encode, and decode again to the same value. The first two bytes choose the message and the version.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzMessages(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count >= 2 else { return 0 }
    let types = messageRegistry
    let type = types[Int(data[0]) % types.count]
    let versions = type.validVersions
    let version = versions.lowerBound + Int16(data[1]) % Int16(versions.count)
    check(type, Array(UnsafeBufferPointer(start: data + 2, count: count - 2)), version)
    return 0
}

private func check<Message: ProtocolMessage>(_ type: Message.Type, _ bytes: [UInt8], _ version: Int16) {
    guard let message = try? type.decode(bytes, version: version) else { return }
    let encoded = message.encoded(version: version)
    do {
        let again = try type.decode(encoded, version: version)
        // Compared as bytes, because a NaN is not equal to itself.
        precondition(again.encoded(version: version) == encoded, "\(type) v\(version) changed")
    } catch {
        preconditionFailure("\(type) v\(version) does not decode what it encoded: \(error)")
    }
}
