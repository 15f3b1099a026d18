import KafkaProtocol

/// What can be asked and changed in a cluster. The areas are in extensions beside this file.
package struct Administrator: Sendable {
    package let cluster: Cluster

    package init(cluster: Cluster) {
        self.cluster = cluster
    }

    var timeoutMilliseconds: Int32 { Int32(clamping: cluster.options.requestTimeout.milliseconds) }
}

/// The first failure among the parts of a reply whose failures may pass, for `Cluster.call`; the others are reported
/// one by one.
func firstRetriable(_ errors: some Sequence<ClientError?>) -> ClientError? {
    for case let error? in errors where error.isRetriable && error.protocolCode != .unknownTopicOrPartition {
        return error
    }
    return nil
}
