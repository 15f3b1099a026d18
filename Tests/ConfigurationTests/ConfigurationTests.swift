import Configuration
import Testing

@Suite struct ConfigurationTests {
    private func message(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("every declaration is sound: unique, with a valid default and a summary")
    func declarations() {
        for (definitions, byName) in [
            (BrokerConfigurations.all, BrokerConfigurations.byName),
            (TopicConfigurations.all, TopicConfigurations.byName),
        ] {
            #expect(definitions.count == byName.count)
            for definition in definitions {
                #expect(!definition.summary.isEmpty && !definition.summary.contains("\n"), "\(definition.name)")
                if let value = definition.defaultValue {
                    #expect(definition.type.objection(to: value) == nil, "\(definition.name)=\(value)")
                }
                if let broker = definition.brokerName {
                    #expect(BrokerConfigurations.byName[broker] != nil, "\(broker)")
                }
            }
        }
    }

    @Test("unknown names suggest the near one, in one line")
    func unknownName() {
        let text = message { _ = try BrokerConfiguration(propertiesText: nil, overrides: ["log.retention.hour=1"]) }
        #expect(text == "there is no configuration 'log.retention.hour'; did you mean 'log.retention.hours'?")
        let far = message { _ = try BrokerConfiguration(propertiesText: nil, overrides: ["frobnicate=1"]) }
        #expect(far?.contains("--help-configs") == true)
    }

    @Test(
        "bad values are refused, with what they should be",
        arguments: [
            "num.partitions=0", "num.partitions=many", "num.partitions=2147483648", "auto.create.topics.enable=yes",
            "log.cleanup.policy=burn", "compression.type=rar", "log.cleaner.min.cleanable.ratio=2", "missing-equals",
        ])
    func badValue(_ pair: String) {
        let text = message { _ = try BrokerConfiguration(propertiesText: nil, overrides: [pair]) }
        #expect(text != nil && !text!.contains("\n"))
    }

    @Test("a properties file is read as Java reads it; the command line stands before it")
    func properties() throws {
        let text = """
            # a comment
            ! another
            num.partitions = 3
              log.retention.ms:1000\r
            listeners=PLAINTEXT://a:1,\\
                OTHER://b:2
            broker.rack=a\\:b\\=c

            """
        let configuration = try BrokerConfiguration(
            propertiesText: text, fileName: "server.properties", overrides: ["num.partitions=5"])
        #expect(configuration.int("num.partitions") == 5)
        #expect(configuration.long("log.retention.ms") == 1000)
        #expect(configuration.list("listeners") == ["PLAINTEXT://a:1", "OTHER://b:2"])
        #expect(configuration.optional("broker.rack") == "a:b=c")
        let error = message {
            _ = try BrokerConfiguration(propertiesText: "a=1\nnonsense", fileName: "server.properties", overrides: [])
        }
        #expect(error == "server.properties: line 2: expected name=value, found 'nonsense'")
    }

    @Test("a topic's default comes from the broker, older names of the broker's behind the newer")
    func topicDefaults() throws {
        func retention(_ overrides: [String], topic: String? = nil) throws -> Int64 {
            var values = ConfigurationValues()
            if let topic { try values.set("retention.ms", to: topic, in: TopicConfigurations.byName) }
            let broker = try BrokerConfiguration(propertiesText: nil, overrides: overrides)
            return TopicConfiguration(values, broker: broker).long("retention.ms")
        }
        #expect(try retention([]) == 604_800_000)
        #expect(try retention(["log.retention.hours=2"]) == 7_200_000)
        #expect(try retention(["log.retention.hours=2", "log.retention.minutes=3"]) == 180_000)
        #expect(try retention(["log.retention.minutes=3", "log.retention.ms=4"]) == 4)
        #expect(try retention(["log.retention.hours=-1"]) == -1)
        #expect(try retention(["log.retention.ms=4"], topic: "5") == 5)
    }

    @Test("names without an effect are accepted and said")
    func withoutEffect() throws {
        let configuration = try BrokerConfiguration(propertiesText: nil, overrides: ["num.io.threads=16"])
        #expect(configuration.withoutEffect.map(\.name) == ["num.io.threads"])
    }
}
