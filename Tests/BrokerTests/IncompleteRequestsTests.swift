import Testing

@testable import MartletServer

@Suite struct IncompleteRequestsTests {
    @Test("what is refused is not counted, and what goes makes room")
    func limit() {
        let requests = IncompleteRequests(limit: 100)
        #expect(requests.change(from: 0, to: 60))
        #expect(requests.change(from: 0, to: 40))
        #expect(!requests.change(from: 40, to: 41))
        #expect(requests.change(from: 0, to: 40), "the refused connection's share is free again")
        #expect(requests.change(from: 60, to: 0))
        #expect(requests.change(from: 40, to: 100))
        #expect(requests.change(from: 100, to: 50), "less is never refused")
    }
}
