import KafkaProtocol

/// A cluster and its brokers.
public struct ClusterDescription: Sendable, Hashable {
    /// A broker that takes requests.
    public struct Broker: Sendable, Hashable {
        /// `node.id`.
        public let id: Int32
        /// Where clients reach it.
        public let address: BrokerAddress
        /// `broker.rack`.
        public let rack: String?
    }

    /// The same for the cluster's whole life; nil from brokers that are too old to say.
    public let id: String?
    /// The broker that decides on topics and leaders; nil while there is none.
    public let controller: Int32?
    /// By id.
    public let brokers: [Broker]
}

/// A broker's folder of logs.
public struct LogDirectory: Sendable {
    /// A replica in it.
    public struct Replica: Sendable, Hashable {
        /// Of its log, in bytes.
        public let size: Int64
        /// How many records it knows that it lacks.
        public let offsetLag: Int64
    }

    /// Where it is on the broker's machine.
    public let path: String
    /// Why it is not used any more; nil for one that is.
    public let failure: ClientError?
    /// Of its file system, in bytes; nil from brokers that are too old to say.
    public let totalBytes: Int64?
    /// Free for the broker, in bytes; nil from brokers that are too old to say.
    public let usableBytes: Int64?
    /// What is in it.
    public let replicas: [TopicPartition: Replica]
}

extension Admin {
    /// The cluster's brokers and who is its controller.
    public func describeCluster() async throws(ClientError) -> ClusterDescription {
        let response = try await cluster.retrying { () async throws(ClientError) in
            try await cluster.refreshMetadata(of: [])
        }
        return ClusterDescription(
            id: response.clusterId, controller: response.controllerId >= 0 ? response.controllerId : nil,
            brokers: response.brokers.map {
                ClusterDescription.Broker(
                    id: $0.nodeId, address: BrokerAddress(host: $0.host, port: Int($0.port)), rack: $0.rack)
            }.sorted { $0.id < $1.id })
    }

    /// The log folders of brokers, with the replicas in them.
    public func logDirectories(of brokers: [Int32]) async throws(ClientError) -> Results<Int32, [LogDirectory]> {
        let cluster = cluster
        return try await batched(brokers) { open async throws(ClientError) in
            var results: Results<Int32, [LogDirectory]> = [:]
            for broker in open {
                do throws(ClientError) {
                    var request = DescribeLogDirsRequest()
                    request.topics = nil
                    let response = try await cluster.connection(.node(broker)).send(request)
                    results[broker] = .of(
                        ClientError.from(response.errorCode, "broker \(broker)"),
                        response.results.map { LogDirectory($0, of: broker) })
                } catch {
                    results[broker] = .failure(error)
                }
            }
            return results
        }
    }

    /// Forgets a broker that is gone for good and leads nothing any more (KIP-631).
    public func unregisterBroker(_ id: Int32) async throws(ClientError) {
        var request = UnregisterBrokerRequest()
        request.brokerId = id
        _ = try await cluster.call(request, .controller) { response in
            ClientError.from(response.errorCode, "broker \(id)", message: response.errorMessage)
        }
    }

    /// How many records a broker's replicas know that they lack (the offset lag of DescribeLogDirs, summed up).
    package func replicaLag(of nodeId: Int32) async throws(ClientError) -> Int64 {
        try await logDirectories(of: [nodeId]).only(nodeId).reduce(0) { sum, directory in
            sum + directory.replicas.values.reduce(0) { $0 + max(0, $1.offsetLag) }
        }
    }
}

extension LogDirectory {
    fileprivate init(_ result: DescribeLogDirsResponse.DescribeLogDirsResult, of broker: Int32) {
        path = result.logDir
        failure = ClientError.from(result.errorCode, "broker \(broker), \(result.logDir)")
        totalBytes = result.totalBytes >= 0 ? result.totalBytes : nil
        usableBytes = result.usableBytes >= 0 ? result.usableBytes : nil
        var replicas: [TopicPartition: Replica] = [:]
        for topic in result.topics {
            for partition in topic.partitions where !partition.isFutureKey {
                replicas[TopicPartition(topic.name, partition.partitionIndex)] = Replica(
                    size: partition.partitionSize, offsetLag: partition.offsetLag)
            }
        }
        self.replicas = replicas
    }
}
