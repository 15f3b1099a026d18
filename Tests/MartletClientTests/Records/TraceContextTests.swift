import MartletClient
import Testing

@Suite struct TraceContextTests {
    private static let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @Test func headersComeBack() throws {
        let context = try #require(
            TraceContext(headers: [
                Header(key: "traceparent", text: Self.parent), Header(key: "tracestate", text: "a=1"),
            ]))
        #expect(context.isSampled)
        #expect(context.traceId.first == 0x0a && context.parentId.last == 0x31)
        #expect(context.headers.map(\.key) == ["traceparent", "tracestate"])
        #expect(context.headers[0] == Header(key: "traceparent", text: Self.parent))
        #expect(TraceContext(headers: context.headers) == context)
    }

    @Test(arguments: [
        "", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
    ])
    func headersThatAreNone(text: String) {
        #expect(TraceContext(headers: [Header(key: "traceparent", text: text)]) == nil)
    }

    @Test func theTasksContextGoesIntoTheHeaders() throws {
        let context = try #require(TraceContext(headers: [Header(key: "traceparent", text: Self.parent)]))
        var headers = [Header(key: "a", text: "b"), Header(key: "traceparent", text: "old")]
        TraceContextTracing().inject(into: &headers)
        #expect(headers.count == 2)
        TraceContext.$current.withValue(context) { TraceContextTracing().inject(into: &headers) }
        #expect(headers == [Header(key: "a", text: "b"), Header(key: "traceparent", text: Self.parent)])
    }
}
