import Crypto
import Testing

@testable import MartletClient

@Suite struct ScramTests {
    private static let nonce = "rOprNGfwEbeRWgbNEkqO"
    private static let serverFirst =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

    /// The exchange that stands in RFC 7677, section 3.
    @Test func theExampleOfTheStandard() throws {
        var scram = ScramClient<SHA256>(userName: "user", password: "pencil", nonce: Self.nonce)
        #expect(scram.firstMessage == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
        #expect(
            try scram.finalMessage(replyTo: Self.serverFirst)
                == "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
        try scram.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    }

    @Test func namesAreEscaped() {
        let scram = ScramClient<SHA512>(userName: "a=b,c", password: "", nonce: "n")
        #expect(scram.firstMessage == "n,,n=a=3Db=2Cc,r=n")
    }

    @Test(arguments: [
        "", "v=1", "r=other,s=W22Z,i=4096", "r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", "r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=99999999999",
        "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096,m=extension",
    ])
    func aServersMessageThatIsNone(message: String) {
        var scram = ScramClient<SHA256>(userName: "user", password: "pencil", nonce: Self.nonce)
        #expect(throws: ScramFailure.self) { try scram.finalMessage(replyTo: message) }
    }

    @Test(arguments: ["e=invalid-proof", "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=", "x"])
    func aServerThatDoesNotKnowThePassword(message: String) throws {
        var scram = ScramClient<SHA256>(userName: "user", password: "pencil", nonce: Self.nonce)
        _ = try scram.finalMessage(replyTo: Self.serverFirst)
        #expect(throws: ScramFailure.self) { try scram.verify(message) }
    }

    /// Nothing is proven before the server's first message was answered.
    @Test func anEarlySignature() {
        let scram = ScramClient<SHA256>(userName: "user", password: "pencil", nonce: Self.nonce)
        #expect(throws: ScramFailure.self) { try scram.verify("v=") }
    }
}
