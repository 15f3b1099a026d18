// swift-tools-version: 6.3
import PackageDescription

// Warnings are errors in CI only, so that a newer compiler's new warning does not stop a user's build.
let strict = Context.environment["MARTLET_STRICT"] == "1"
let swiftSettings: [SwiftSetting] = strict ? [.treatAllWarnings(as: .error)] : []

let package = Package(
    name: "martlet",
    platforms: [.macOS(.v26)],
    products: [
        .executable(name: "martlet", targets: ["martlet"]),
        .library(name: "MartletClient", targets: ["MartletClient"]),
        .library(name: "MartletTesting", targets: ["MartletTesting"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        // Makes the documentation: swift package generate-documentation --target MartletClient
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    ],
    targets: [
        // What the kernel and the processor offer, in C.
        .target(name: "CChecksum"),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CSnappy", providers: [.apt(["libsnappy-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // The wire and the disk.
        .target(name: "KafkaProtocol", swiftSettings: swiftSettings),
        .executableTarget(
            name: "KafkaProtocolGenerator", exclude: ["Specification"], swiftSettings: swiftSettings),
        .target(
            name: "RecordFormat", dependencies: ["CChecksum", "CZstd", "CLZ4", "CSnappy", "CZlib"],
            swiftSettings: swiftSettings),
        .target(name: "CommitLog", dependencies: ["CChecksum", "RecordFormat"], swiftSettings: swiftSettings),

        // Pure state machines and the metadata.
        .target(name: "Configuration", swiftSettings: swiftSettings),
        .target(name: "CoordinatorCore", dependencies: ["KafkaProtocol"], swiftSettings: swiftSettings),
        .target(
            name: "GroupCoordinator", dependencies: ["CoordinatorCore", "KafkaProtocol"],
            swiftSettings: swiftSettings),
        .target(
            name: "TransactionCoordinator", dependencies: ["CoordinatorCore", "KafkaProtocol"],
            swiftSettings: swiftSettings),
        .target(
            name: "ClusterMetadata",
            dependencies: ["KafkaProtocol", "Configuration", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: swiftSettings),
        // The metadata of a cluster, in etcd.
        .target(
            name: "EtcdMetadata",
            dependencies: [
                "ClusterMetadata",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            exclude: ["Specification"], swiftSettings: swiftSettings),
        .target(name: "Replication", dependencies: ["CommitLog", "RecordFormat"], swiftSettings: swiftSettings),

        // The broker, its server and the command line.
        .target(
            name: "Broker",
            dependencies: [
                "KafkaProtocol", "RecordFormat", "CommitLog", "Configuration", "CoordinatorCore", "GroupCoordinator",
                "TransactionCoordinator", "ClusterMetadata", "Replication",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "MartletServer",
            dependencies: [
                "Broker", "Configuration", "EtcdMetadata",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "MartletClient",
            dependencies: [
                "KafkaProtocol", "RecordFormat",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "MartletTesting",
            dependencies: [
                "MartletServer", "Broker", "ClusterMetadata", "CommitLog", "Configuration", "CoordinatorCore",
                "GroupCoordinator", "KafkaProtocol", "RecordFormat", "Replication", "TransactionCoordinator",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "martlet",
            dependencies: [
                "MartletServer", "MartletClient", "Configuration", "CommitLog", "KafkaProtocol", "RecordFormat",
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),

        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: swiftSettings),
        .testTarget(
            name: "KafkaProtocolTests", dependencies: ["KafkaProtocol"], exclude: ["Golden"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "RecordFormatTests", dependencies: ["CChecksum", "RecordFormat"], swiftSettings: swiftSettings),
        .testTarget(
            name: "CommitLogTests", dependencies: ["CommitLog", "RecordFormat"], swiftSettings: swiftSettings),
        .testTarget(name: "TidyTests", swiftSettings: swiftSettings),
        .testTarget(name: "ConfigurationTests", dependencies: ["Configuration"], swiftSettings: swiftSettings),
        .testTarget(
            name: "ClusterMetadataTests",
            dependencies: ["ClusterMetadata", "Configuration", "KafkaProtocol", "TestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "EtcdMetadataTests",
            dependencies: [
                "ClusterMetadata", "EtcdMetadata", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ReplicationTests", dependencies: ["CommitLog", "RecordFormat", "Replication", "TestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "GroupCoordinatorTests",
            dependencies: ["CoordinatorCore", "GroupCoordinator", "KafkaProtocol", "TestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "TransactionCoordinatorTests",
            dependencies: ["CoordinatorCore", "TransactionCoordinator", "KafkaProtocol", "TestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "MartletClientTests",
            dependencies: [
                "martlet", "MartletClient", "MartletServer", "MartletTesting", "Configuration", "KafkaProtocol",
                "RecordFormat", "TestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "MartletTestingTests",
            dependencies: ["MartletTesting", "MartletClient", "KafkaProtocol", "RecordFormat"],
            swiftSettings: swiftSettings),
        .target(
            name: "BrokerTestSupport",
            dependencies: [
                "Broker", "ClusterMetadata", "CommitLog", "Configuration", "KafkaProtocol", "RecordFormat",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/BrokerTestSupport", swiftSettings: swiftSettings),
        .testTarget(
            name: "BrokerTests",
            dependencies: [
                "BrokerTestSupport", "Broker", "ClusterMetadata", "CommitLog", "Configuration", "CoordinatorCore",
                "GroupCoordinator", "HistoryChecker", "KafkaProtocol", "MartletServer", "RecordFormat", "Replication",
            ],
            swiftSettings: swiftSettings),

        // What clients recorded, judged: `check-history` for tests in other languages.
        .target(
            name: "HistoryChecker", path: "Tests/HistoryChecker", exclude: ["README.md"], swiftSettings: swiftSettings),
        .executableTarget(
            name: "check-history",
            dependencies: ["HistoryChecker", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Tests/CheckHistory", swiftSettings: swiftSettings),
        // The Swift client for the suite of clients in other languages (`Tests/Clients`), on its public API alone.
        .executableTarget(
            name: "swift-history-client",
            dependencies: [
                "MartletClient", "TestSupport", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/SwiftHistoryClient", swiftSettings: swiftSettings),
        .testTarget(
            name: "HistoryCheckerTests", dependencies: ["HistoryChecker", "TestSupport", "check-history"],
            swiftSettings: swiftSettings),

        // Whole clusters of the production code in one thread, from one seed: `martlet-sim`.
        .target(
            name: "Simulator",
            dependencies: [
                "Broker", "ClusterMetadata", "CommitLog", "Configuration", "HistoryChecker", "KafkaProtocol",
                "MartletClient", "RecordFormat", "Replication", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Simulator", swiftSettings: swiftSettings),
        .executableTarget(
            name: "martlet-sim",
            dependencies: ["Simulator", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Tests/MartletSim", swiftSettings: swiftSettings),
        .testTarget(name: "SimulatorTests", dependencies: ["Simulator"], swiftSettings: swiftSettings),

        // Instructions and allocations of the hot paths; `scripts/benchmark-micro` holds them to their thresholds.
        .target(name: "CAllocationCounter", path: "Benchmarks/CAllocationCounter"),
        .executableTarget(
            name: "MicroBenchmarks",
            dependencies: [
                "BrokerTestSupport", "Broker", "CAllocationCounter", "CommitLog", "CoordinatorCore", "GroupCoordinator",
                "KafkaProtocol", "RecordFormat",
            ],
            path: "Benchmarks/Micro", swiftSettings: swiftSettings),
        // Programs that use the client; see Examples/README.md.
        .executableTarget(
            name: "WordCount", dependencies: ["MartletClient"], path: "Examples/WordCount", swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "ExactlyOnceCopy", dependencies: ["MartletClient"], path: "Examples/ExactlyOnceCopy",
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "GracefulService",
            dependencies: [
                "MartletClient", .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Examples/GracefulService", swiftSettings: swiftSettings),
        // The client beside librdkafka; see `scripts/benchmark-client`.
        .executableTarget(
            name: "ClientBenchmarks", dependencies: ["MartletClient"], path: "Benchmarks/Client",
            exclude: ["librdkafka.c"], swiftSettings: swiftSettings),
    ],
    swiftLanguageModes: [.v6]
)
