/// Where a batch's timestamps come from.
package enum TimestampType: Sendable {
    case createTime
    case logAppendTime
}

/// The 16 attribute bits of a record batch.
@frozen
package struct RecordBatchAttributes: OptionSet, Sendable {
    package var rawValue: Int16

    @inlinable
    package init(rawValue: Int16) {
        self.rawValue = rawValue
    }

    package static let codecMask: Int16 = 0x07
    @inlinable package static var logAppendTime: Self { Self(rawValue: 0x08) }
    @inlinable package static var transactional: Self { Self(rawValue: 0x10) }
    @inlinable package static var control: Self { Self(rawValue: 0x20) }
    /// The base timestamp is the time from which tombstones and markers in the batch may go (KIP-534).
    @inlinable package static var deleteHorizon: Self { Self(rawValue: 0x40) }

    @inlinable package var codecIdentifier: Int { Int(rawValue & 0x07) }
    package var codec: CompressionCodec? { CompressionCodec(rawValue: Int8(codecIdentifier)) }
    package var timestampType: TimestampType { contains(.logAppendTime) ? .logAppendTime : .createTime }
    @inlinable package var isTransactional: Bool { contains(.transactional) }
    @inlinable package var isControl: Bool { contains(.control) }
    @inlinable package var hasDeleteHorizon: Bool { contains(.deleteHorizon) }

    package func with(codec: CompressionCodec) -> Self {
        Self(rawValue: (rawValue & ~Self.codecMask) | Int16(codec.rawValue))
    }
}
