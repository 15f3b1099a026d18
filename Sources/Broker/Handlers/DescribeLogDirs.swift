import KafkaProtocol

/// DescribeLogDirs: where the partitions are and how large.
enum DescribeLogDirsHandler: RequestHandler {
    typealias Request = DescribeLogDirsRequest

    static func handle(
        _ request: DescribeLogDirsRequest, _ context: RequestContext
    ) -> HandlerOutcome<DescribeLogDirsResponse> {
        let broker = context.broker
        let table = context.loop.topics
        var directory = DescribeLogDirsResponse.DescribeLogDirsResult()
        directory.logDir = broker.logs.path
        if broker.logs.health.isOffline {
            directory.errorCode = ErrorCode.kafkaStorageError.rawValue
        } else {
            let space = broker.diskSpace()
            directory.totalBytes = space.total
            directory.usableBytes = space.usable
        }
        let asked = request.topics?.map { (name: $0.topic, partitions: Set($0.partitions)) }
        for name in asked?.map(\.name) ?? table.topics.keys.sorted() {
            guard let topic = table.topic(named: name) else { continue }
            let wanted = asked?.first { $0.name == name }?.partitions
            var result = DescribeLogDirsResponse.DescribeLogDirsTopic()
            result.name = name
            for log in topic.logs where wanted?.contains(log.name.partition) ?? true {
                var partition = DescribeLogDirsResponse.DescribeLogDirsPartition()
                partition.partitionIndex = log.name.partition
                partition.partitionSize = log.size
                partition.offsetLag = topic.follower(of: log.name.partition)?.lag ?? 0
                result.partitions.append(partition)
            }
            directory.topics.append(result)
        }
        var response = DescribeLogDirsResponse()
        response.results = [directory]
        return .reply(response)
    }
}
