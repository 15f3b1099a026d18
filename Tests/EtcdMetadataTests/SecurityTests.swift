import ClusterMetadata
import EtcdMetadata
import Foundation
import Testing

@Suite struct SecurityTests {
    @Test(
        "with a password: a token is had, and had again when a restarted etcd does not know it; a wrong one is refused")
    func password() async throws {
        try await withEtcd { etcd in
            try etcd.control("user", "add", "root:secret")
            try etcd.control("user", "grant-role", "root", "root")
            try etcd.control("auth", "enable")
            let credentials: (inout EtcdConfiguration) -> Void = {
                $0.username = "root"
                $0.password = "secret"
            }
            try withStore([etcd.endpoint], timeout: .seconds(2)) { store in
                #expect(failure { _ = try store.snapshot() }?.name == "unavailable")
                #expect(failure { try store.commit(transaction { $0.put("a", []) }) }?.name == "unavailable")
            }
            try withStore(
                [etcd.endpoint], timeout: .seconds(2),
                {
                    $0.username = "root"
                    $0.password = "wrong"
                }
            ) { store in
                let error = failure { try store.commit(transaction { $0.put("a", []) }) }
                #expect(error?.name == "unavailable")
                let reason = error?.description ?? ""
                #expect(reason.contains("invalid user ID or password"))
            }
            try withStore([etcd.endpoint], credentials) { store in
                let recorder = NewsRecorder()
                store.observe(after: try store.snapshot().revision) { recorder.record($0) }
                try store.openSession(timeoutMilliseconds: 2000)
                try store.commit(transaction { $0.put("a", bytes("1"), isEphemeral: true) })
                try eventually("the change is told") { recorder.changes.count == 1 }
                etcd.kill()
                try etcd.start()
                try store.commit(transaction { $0.put("a", bytes("2"), isEphemeral: true) })
                try eventually("changes are told again") { recorder.changes.map(\.changes) == [["a=1"], ["a=2"]] }
                Thread.sleep(forTimeInterval: 3)
                #expect(try store.value("a") == "2")
                #expect(!recorder.events.contains("sessionEnded"))
            }
        }
    }

    @Test("a password is no hindrance where etcd does not ask for one")
    func needlessPassword() async throws {
        try await withEtcd { etcd in
            try withStore(
                [etcd.endpoint],
                {
                    $0.username = "root"
                    $0.password = "secret"
                }
            ) { store in
                try store.commit(transaction { $0.put("a", bytes("1")) })
                #expect(try store.value("a") == "1")
            }
        }
    }

    @Test("over TLS, with this node's certificate; neither without one nor to an etcd that nobody vouches for")
    func certificates() async throws {
        try await onThread {
            let folder = EtcdProcess.temporaryFolder()
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try makeCertificates(in: folder)
            func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
            let etcd = try EtcdProcess(
                scheme: "https", folder: folder,
                additional: [
                    "--cert-file", path("server.pem"), "--key-file", path("server.key"), "--client-cert-auth",
                    "--trusted-ca-file", path("authority.pem"),
                ])
            try etcd.start()
            defer { etcd.stop() }
            let names = [etcd.endpoint, "localhost:\(etcd.port)"]
            for endpoint in names {
                try withStore(
                    [endpoint],
                    {
                        $0.authorityFile = path("authority.pem")
                        $0.certificateFile = path("client.pem")
                        $0.keyFile = path("client.key")
                    }
                ) { store in
                    let recorder = NewsRecorder()
                    store.observe(after: try store.snapshot().revision) { recorder.record($0) }
                    try store.commit(transaction { $0.put("a", bytes(endpoint)) })
                    try eventually("the change is told") { recorder.changes.count == 1 }
                    #expect(try store.value("a") == endpoint)
                }
            }
            for change: (inout EtcdConfiguration) -> Void in [
                { $0.authorityFile = path("authority.pem") },
                {
                    $0.authorityFile = path("stranger.pem")
                    $0.certificateFile = path("client.pem")
                    $0.keyFile = path("client.key")
                },
            ] {
                try withStore([etcd.endpoint], timeout: .seconds(1), change) { store in
                    #expect(failure { _ = try store.snapshot() }?.name == "unavailable")
                }
            }
        }
    }

    /// An authority, a certificate each for etcd and this node, and an authority that vouches for nobody.
    private func makeCertificates(in folder: URL) throws {
        func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
        func key(_ name: String) throws {
            try EtcdProcess.run("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path(name)])
        }
        for authority in ["authority", "stranger"] {
            try key("\(authority).key")
            try EtcdProcess.run(
                "openssl",
                [
                    "req", "-x509", "-new", "-key", path("\(authority).key"), "-days", "2", "-subj", "/CN=\(authority)",
                    "-out", path("\(authority).pem"),
                ])
        }
        for (name, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
            try key("\(name).key")
            try EtcdProcess.run(
                "openssl",
                ["req", "-new", "-key", path("\(name).key"), "-subj", "/CN=\(name)", "-out", path("\(name).csr")])
            let extensions = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=\(usage)\n"
            try extensions.write(toFile: path("\(name).ext"), atomically: true, encoding: .utf8)
            try EtcdProcess.run(
                "openssl",
                [
                    "x509", "-req", "-in", path("\(name).csr"), "-CA", path("authority.pem"), "-CAkey",
                    path("authority.key"), "-CAcreateserial", "-days", "2", "-extfile", path("\(name).ext"), "-out",
                    path("\(name).pem"),
                ])
        }
    }
}
