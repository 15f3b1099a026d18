import Testing

@testable import MartletClient

@Suite struct SecurityPropertiesTests {
    @Test func allOfThem() throws {
        let security = try ClientSecurity(properties: [
            "security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "u",
            "sasl.password": "p", "ssl.ca.location": "/ca.pem", "ssl.endpoint.identification.algorithm": "none",
        ])
        let credentials = try #require(security.credentials)
        #expect(credentials.mechanism == .scramSHA512)
        #expect(credentials.userName == "u" && credentials.password == "p")
        #expect("\(credentials)" == "SCRAM-SHA-512 user 'u'")
        let tls = try #require(security.tls)
        guard case .file("/ca.pem") = tls.trustRoots, case .withoutHostName = tls.verification else {
            Issue.record("\(tls)")
            return
        }
    }

    @Test func nothing() throws {
        let security = try ClientSecurity(properties: [:])
        #expect(security.tls == nil && security.credentials == nil)
    }

    @Test(arguments: [
        ["security.protocol": "TLS"], ["bootstrap.servers": "x"], ["ssl.ca.location": "x"],
        ["security.protocol": "SSL", "sasl.username": "x"], ["security.protocol": "SASL_SSL"],
        ["security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI", "sasl.username": "x", "sasl.password": "y"],
        ["security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "x"],
        ["security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "http"],
    ])
    func mistakes(properties: [String: String]) {
        let error = #expect(throws: ClientError.self) { try ClientSecurity(properties: properties) }
        #expect(error?.code == .invalidArgument)
    }

    @Test func filesThatAreNotThere() {
        var tls = ClientTLS(trustRoots: .file("/no/such/file.pem"))
        for _ in 0..<2 {
            let error = #expect(throws: ClientError.self) { try TransportSecurity(ClientSecurity(tls: tls)) }
            #expect(error?.code == .invalidArgument)
            tls = ClientTLS(certificateFile: "/no/such/file.pem")
        }
    }
}
