import Testing
import TransactionCoordinator

@Suite struct ConfigurationTests {
    @Test("defaults are Kafka's")
    func defaults() {
        #expect(TransactionConfiguration().transactionMaxTimeoutMs == 900_000)
    }
}
