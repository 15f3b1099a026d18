import KafkaProtocol

/// Member ids that the coordinator hands out.
enum MemberIdGenerator {
    /// `<client id>-<uuid>`, or `<instance id>-<uuid>` for a static member, so that people recognise the member.
    static func classic(
        clientId: String, instanceId: String?, using generator: inout some RandomNumberGenerator
    ) -> String {
        "\((instanceId ?? clientId).prefix(GroupLimits.memberIdPrefixCharacters))-\(Uuid.random(using: &generator).hyphenated)"
    }

    static func consumer(using generator: inout some RandomNumberGenerator) -> String {
        Uuid.random(using: &generator).description
    }
}
