import Foundation
import KafkaProtocol
import NIOSSL
import Testing

@testable import MartletClient

/// Real connections with TLS and SASL to a listener before a real broker.
@Suite struct SecureConnectionTests {
    @Test(arguments: SASLCredentials.Mechanism.allCases, [false, true])
    func requestsGoThrough(_ mechanism: SASLCredentials.Mechanism, withTLS: Bool) async throws {
        let certificates = try TestCertificates()
        try await withFront(tls: withTLS ? certificates.server() : nil, mechanism, user: "alice") { port in
            var security = ClientSecurity(
                credentials: SASLCredentials(mechanism, userName: "alice", password: "se=cr,et"))
            if withTLS { security.tls = ClientTLS(trustRoots: .file(certificates.authority)) }
            let cluster = try Self.cluster(security, port: port)
            // The broker names its own address, so that only this connection goes through the listener.
            try await cluster.refreshMetadata(of: [])
            #expect(await cluster.view.brokers.count == 1)
            await cluster.close()
        }
    }

    @Test(arguments: SASLCredentials.Mechanism.allCases)
    func aWrongPassword(_ mechanism: SASLCredentials.Mechanism) async throws {
        try await withFront(tls: nil, mechanism, user: "alice") { port in
            for (name, password) in [("alice", "guess"), ("bob", "se=cr,et")] {
                let security = ClientSecurity(
                    credentials: SASLCredentials(mechanism, userName: name, password: password))
                let error = await Self.failure(security, port: port)
                #expect(error?.code == .authenticationFailed)
                #expect(error?.brokerErrorCode == 58)
                #expect(error?.isRetriable == false)
                #expect(error.map { !"\($0)".contains(password) } == true)
            }
        }
    }

    @Test func aMechanismThatTheBrokerLacks() async throws {
        try await withFront(tls: nil, .scramSHA512, user: "alice") { port in
            let security = ClientSecurity(credentials: SASLCredentials(.plain, userName: "alice", password: "x"))
            let error = await Self.failure(security, port: port)
            #expect(error?.brokerErrorCode == 33)
            #expect(error?.nextStep == "it takes SCRAM-SHA-512")
        }
    }

    @Test func certificatesThatDoNotConvince() async throws {
        let certificates = try TestCertificates()
        let stranger = try TestCertificates()
        try await withFront(tls: certificates.server(), .plain, user: nil) { port in
            var tls = ClientTLS(trustRoots: .file(stranger.authority))
            let untrusted = await Self.failure(ClientSecurity(tls: tls), port: port)
            #expect(untrusted?.code == .authenticationFailed, "\(untrusted?.description ?? "")")
            // The certificate names localhost, and not the address.
            tls.trustRoots = .file(certificates.authority)
            let mismatch = await Self.failure(ClientSecurity(tls: tls), host: "127.0.0.1", port: port)
            #expect(mismatch?.code == .authenticationFailed, "\(mismatch?.description ?? "")")
            tls.verification = .withoutHostName
            #expect(await Self.failure(ClientSecurity(tls: tls), host: "127.0.0.1", port: port) == nil)
            tls = ClientTLS(trustRoots: .file(stranger.authority), verification: .none)
            #expect(await Self.failure(ClientSecurity(tls: tls), port: port) == nil)
            // Without TLS at all, nobody answers.
            #expect(await Self.failure(ClientSecurity(), port: port) != nil)
        }
    }

    @Test func aBrokerThatAsksForACertificate() async throws {
        let certificates = try TestCertificates()
        try await withFront(tls: certificates.server(asksForClients: true), .plain, user: nil) { port in
            var tls = ClientTLS(trustRoots: .file(certificates.authority))
            #expect(await Self.failure(ClientSecurity(tls: tls), port: port) != nil)
            tls.certificateFile = certificates.certificate
            tls.privateKeyFile = certificates.key
            #expect(await Self.failure(ClientSecurity(tls: tls), port: port) == nil)
        }
    }

    @Test func aBrokerWithoutTLS() async throws {
        try await withFront(tls: nil, .plain, user: nil) { port in
            let error = await Self.failure(ClientSecurity(tls: ClientTLS()), port: port)
            #expect(error != nil)
            #expect(error?.code != .timedOut)
        }
    }

    // MARK: Again

    @Test(.timeLimit(.minutes(1)), arguments: SASLCredentials.Mechanism.allCases, [false, true])
    func aBusyConnectionOutlivesItsAuthentication(
        _ mechanism: SASLCredentials.Mechanism, withTLS: Bool
    ) async throws {
        let certificates = try TestCertificates()
        try await TestNode.with { node in
            let front = try await SecureFront.start(
                brokerPort: node.port, tls: withTLS ? certificates.server() : nil, mechanism: mechanism.rawValue,
                user: .init(name: "alice", password: "se=cr,et"), lifetime: .milliseconds(300))
            var security = ClientSecurity(
                credentials: SASLCredentials(mechanism, userName: "alice", password: "se=cr,et"))
            if withTLS { security.tls = ClientTLS(trustRoots: .file(certificates.authority)) }
            let cluster = try Self.cluster(security, port: front.port)
            let connection = try await cluster.connection(.any)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        while front.counts.authentications < 4 {
                            let response = try await connection.send(MetadataRequest())
                            #expect(response.brokers.count == 1)
                            try await Task.sleep(for: .milliseconds(2))
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(front.counts.connections == 1)
            await cluster.close()
            try await front.stop()
        }
    }

    @Test(.timeLimit(.minutes(1))) func whoIsRefusedTheSecondTimeLosesTheConnection() async throws {
        try await TestNode.with { node in
            let front = try await SecureFront.start(
                brokerPort: node.port, tls: nil, mechanism: "SCRAM-SHA-256",
                user: .init(name: "alice", password: "se=cr,et"), lifetime: .milliseconds(200), limit: 1)
            let security = ClientSecurity(
                credentials: SASLCredentials(.scramSHA256, userName: "alice", password: "se=cr,et"))
            let cluster = try Self.cluster(security, port: front.port)
            let connection = try await cluster.connection(.any)
            var failure: ClientError?
            while failure == nil {
                do throws(ClientError) {
                    _ = try await connection.send(MetadataRequest())
                } catch {
                    failure = error
                }
            }
            #expect([.authenticationFailed, .connectionLost].contains(failure?.code))
            try await eventually("it is closed") { !connection.isOpen }
            await cluster.close()
            try await front.stop()
        }
    }

    // MARK: The parts

    private static func cluster(
        _ security: ClientSecurity, host: String = "localhost", port: Int
    ) throws -> Cluster {
        var options = ClientOptions()
        options.security = try TransportSecurity(security)
        options.connectTimeout = .seconds(8)
        return Cluster(bootstrap: [BrokerAddress(host: host, port: port)], options: options)
    }

    private static func failure(
        _ security: ClientSecurity, host: String = "localhost", port: Int
    ) async -> ClientError? {
        do {
            let cluster = try cluster(security, host: host, port: port)
            let result: ClientError?
            do throws(ClientError) {
                _ = try await cluster.connection(.any)
                result = nil
            } catch {
                result = error
            }
            await cluster.close()
            return result
        } catch {
            Issue.record(error)
            return nil
        }
    }

    private func withFront(
        tls: NIOSSLContext?, _ mechanism: SASLCredentials.Mechanism, user: String?,
        _ body: @escaping (Int) async throws -> Void
    ) async throws {
        try await TestNode.with { node in
            let front = try await SecureFront.start(
                brokerPort: node.port, tls: tls, mechanism: mechanism.rawValue,
                user: user.map { .init(name: $0, password: "se=cr,et") })
            try await body(front.port)
            try await front.stop()
        }
    }
}

/// An authority and a certificate of `localhost` that it signed, in a folder that goes with them.
final class TestCertificates {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "martlet-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in ["authority", "server"] {
            try openssl(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path("\(name).key")])
        }
        try openssl([
            "req", "-x509", "-new", "-key", path("authority.key"), "-days", "2", "-subj", "/CN=authority", "-out",
            authority,
        ])
        try openssl(["req", "-new", "-key", key, "-subj", "/CN=server", "-out", path("server.csr")])
        try "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"
            .write(toFile: path("server.ext"), atomically: true, encoding: .utf8)
        try openssl([
            "x509", "-req", "-in", path("server.csr"), "-CA", authority, "-CAkey", path("authority.key"),
            "-CAcreateserial", "-days", "2", "-extfile", path("server.ext"), "-out", certificate,
        ])
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    var authority: String { path("authority.pem") }
    var certificate: String { path("server.pem") }
    var key: String { path("server.key") }

    func server(asksForClients: Bool = false) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
        if asksForClients {
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(authority))
        }
        return try NIOSSLContext(configuration: configuration)
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private func openssl(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
    }
}
