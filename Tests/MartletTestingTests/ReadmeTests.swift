import MartletTesting
import Testing

/// The code under test of the example.
private func placeOrder(_ text: String, at address: String) async throws {
    try await WireClient.connect(to: address).produce([text], to: "orders")
}

// README.md and the module's documentation show what is between the marks; TidyTests compares them.
// snippet: begin
@Test func ordersAreStored() async throws {
    try await withBroker { broker in
        try await broker.createTopic("orders", partitions: 3)
        broker.intercept(.produce, times: 1) { _ in .delay(.milliseconds(200)) }

        try await placeOrder("two tickets", at: broker.bootstrapServers)
        try await broker.crash()
        try await broker.start()

        #expect(try broker.records(of: "orders").map(\.text) == ["two tickets"])
    }
}
// snippet: end
