/// Carries the context of a trace from producers to consumers in records' headers, such as W3C's `traceparent`.
///
/// With swift-distributed-tracing, `inject` is
/// `InstrumentationSystem.instrument.inject(ServiceContext.current ?? .topLevel, into: &headers, using: …)` with an
/// injector that appends a `Header`; whoever consumes extracts the context from a record's headers the same way.
public protocol RecordTracing: Sendable {
    /// Adds what identifies the trace to the headers of a record that is being produced. Called in the producing task,
    /// for each record, before it goes into its batch.
    func inject(into headers: inout [Header])
}

/// A position in a trace as W3C's Trace Context writes it, in the headers `traceparent` and `tracestate`.
public struct TraceContext: Sendable, Hashable {
    /// The context that `TraceContextTracing` gives to records; set it with `TraceContext.$current.withValue`.
    @TaskLocal public static var current: TraceContext?

    /// 16 bytes, not all zero.
    public let traceId: [UInt8]
    /// 8 bytes, not all zero: the span that produced the record.
    public let parentId: [UInt8]
    /// Whether the trace is recorded.
    public let isSampled: Bool
    /// What the systems on the way wrote; empty for nothing.
    public let state: String

    /// nil when an identifier has another length than it must, or is all zero.
    public init?(traceId: [UInt8], parentId: [UInt8], isSampled: Bool, state: String = "") {
        guard traceId.count == 16, parentId.count == 8, traceId.contains(where: { $0 != 0 }),
            parentId.contains(where: { $0 != 0 })
        else { return nil }
        self.traceId = traceId
        self.parentId = parentId
        self.isSampled = isSampled
        self.state = state
    }

    /// The context in a record's headers; nil when there is none, or it is malformed.
    public init?(headers: [Header]) {
        guard let parent = headers.last(where: { $0.key == "traceparent" })?.value else { return nil }
        let parts = String(decoding: parent, as: UTF8.self).split(separator: "-", omittingEmptySubsequences: false)
        // A later version may have more parts, and begins with these.
        guard parts.count == 4 || parts.count > 4 && parts[0] != "00", parts[0].count == 2, parts[0] != "ff",
            Self.bytes(parts[0]) != nil, parts[3].count == 2, let trace = Self.bytes(parts[1]),
            let span = Self.bytes(parts[2]), let flags = Self.bytes(parts[3])
        else { return nil }
        let state = headers.last { $0.key == "tracestate" }?.value ?? []
        self.init(
            traceId: trace, parentId: span, isSampled: flags[0] & 1 == 1, state: String(decoding: state, as: UTF8.self))
    }

    /// The headers that say it.
    public var headers: [Header] {
        let parent = "00-\(Self.text(traceId))-\(Self.text(parentId))-\(isSampled ? "01" : "00")"
        var headers = [Header(key: "traceparent", text: parent)]
        if !state.isEmpty { headers.append(Header(key: "tracestate", text: state)) }
        return headers
    }

    private static func text(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// Lower-case digits only, as the standard wants.
    private static func bytes(_ text: Substring) -> [UInt8]? {
        let digits = text.utf8.map { digit -> UInt8? in
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
            default: nil
            }
        }
        guard digits.count.isMultiple(of: 2), digits.allSatisfy({ $0 != nil }) else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0]! << 4 | digits[$0 + 1]! }
    }
}

/// Gives `TraceContext.current` to the records that a task produces.
public struct TraceContextTracing: RecordTracing {
    /// The tracing with task-local contexts.
    public init() {}

    /// Replaces a context that is there already, as that of a record which is passed on.
    public func inject(into headers: inout [Header]) {
        guard let context = TraceContext.current else { return }
        headers.removeAll { $0.key == "traceparent" || $0.key == "tracestate" }
        headers += context.headers
    }
}
