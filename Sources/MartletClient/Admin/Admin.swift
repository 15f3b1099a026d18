import KafkaProtocol
import Logging

/// What can be asked and changed in a cluster; the areas are in extensions. Calls go to the broker that has the answer,
/// several things at once where the protocol allows it, and are tried again while an error may pass. Any task may use it.
///
/// Methods for several things give each its own result, because one that cannot be done keeps nothing else from being
/// done; methods for one thing throw.
public struct Admin: Sendable {
    package let cluster: Cluster

    /// Connects with the first call. Throws `invalidArgument` when the configuration contradicts itself.
    public init(configuration: AdminConfiguration) throws(ClientError) {
        cluster = Cluster(bootstrap: configuration.bootstrapServers, options: try configuration.options())
    }

    /// Over connections that others use too.
    package init(cluster: Cluster) {
        self.cluster = cluster
    }

    /// Ends the connections. Calls after it, and those on their way, throw `closed` or `connectionLost`.
    public func close() async {
        await cluster.close()
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
