import KafkaProtocol

/// Every API that this broker answers; `COMPATIBILITY.md` is this list with remarks.
enum SupportedApis {
    struct Entry: Sendable {
        let apiKey: ApiKey
        let versions: ClosedRange<Int16>
        /// Whether only the controller can do it: other nodes pass the request on.
        var isForController = false
        let run: @Sendable (RawSpan, inout ByteCursor, RequestContext) throws(ProtocolDecodingError) -> Void
    }

    static let all: [Entry] = [
        Entry(apiKey: .produce, versions: ProduceHandler.versions) { _, _, _ in
            preconditionFailure("produce is dispatched without a decoded request")
        },
        entry(FetchHandler.self),
        entry(ListOffsetsHandler.self),
        entry(MetadataHandler.self),
        entry(OffsetCommitHandler.self),
        entry(OffsetFetchHandler.self),
        entry(FindCoordinatorHandler.self),
        entry(JoinGroupHandler.self),
        entry(HeartbeatHandler.self),
        entry(LeaveGroupHandler.self),
        entry(SyncGroupHandler.self),
        entry(DescribeGroupsHandler.self),
        entry(ListGroupsHandler.self),
        entry(ApiVersionsHandler.self),
        forController(CreateTopicsHandler.self),
        forController(DeleteTopicsHandler.self),
        entry(DeleteRecordsHandler.self),
        entry(InitProducerIdHandler.self),
        entry(OffsetForLeaderEpochHandler.self),
        entry(AddPartitionsToTxnHandler.self),
        entry(AddOffsetsToTxnHandler.self),
        entry(EndTxnHandler.self),
        entry(WriteTxnMarkersHandler.self),
        entry(TxnOffsetCommitHandler.self),
        entry(DescribeAclsHandler.self),
        entry(CreateAclsHandler.self),
        entry(DeleteAclsHandler.self),
        entry(DescribeConfigsHandler.self),
        forController(AlterConfigsHandler.self),
        entry(DescribeLogDirsHandler.self),
        forController(CreatePartitionsHandler.self),
        entry(DeleteGroupsHandler.self),
        forController(IncrementalAlterConfigsHandler.self),
        forController(ElectLeadersHandler.self),
        forController(AlterPartitionReassignmentsHandler.self),
        entry(ListPartitionReassignmentsHandler.self),
        entry(OffsetDeleteHandler.self),
        entry(DescribeQuorumHandler.self),
        entry(DescribeClusterHandler.self),
        entry(DescribeProducersHandler.self),
        forController(UnregisterBrokerHandler.self),
        entry(DescribeTransactionsHandler.self),
        entry(ListTransactionsHandler.self),
        entry(AlterPartitionHandler.self),
        entry(ConsumerGroupHeartbeatHandler.self),
        entry(ConsumerGroupDescribeHandler.self),
        entry(ListConfigResourcesHandler.self),
        entry(DescribeTopicPartitionsHandler.self),
    ]

    private static let byKey: [Entry?] = {
        var table = [Entry?](repeating: nil, count: Int(ApiKey.allCases.map(\.rawValue).max()!) + 1)
        for entry in all { table[Int(entry.apiKey.rawValue)] = entry }
        return table
    }()

    static func entry(for key: Int16) -> Entry? {
        key >= 0 && key < byKey.count ? byKey[Int(key)] : nil
    }

    private static func forController<Handler: RequestHandler>(_ handler: Handler.Type) -> Entry {
        var entry = entry(handler)
        entry.isForController = true
        return entry
    }

    private static func entry<Handler: RequestHandler>(_ handler: Handler.Type) -> Entry {
        Entry(apiKey: Handler.Request.apiKey, versions: Handler.versions) {
            bytes, cursor, context throws(ProtocolDecodingError) in
            let request = try Handler.Request(from: bytes, at: &cursor, version: context.version)
            // What follows the request is not looked at, as in Kafka: librdkafka leaves three bytes behind when it asks
            // for the metadata of all topics in a flexible version.
            guard case .reply(let response) = Handler.handle(request, context) else { return }
            context.loop.metrics.immediate(context.apiKey, error: .none)
            context.loop.metrics.countErrors(of: response, context.apiKey)
            context.connection.reply { buffer in
                RequestDispatcher.encode(
                    response, context.apiKey, context.version, context.correlationId, into: &buffer)
            }
        }
    }
}
