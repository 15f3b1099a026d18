import ClusterMetadata
import Foundation

extension MetadataTransaction {
    /// About how many bytes the request has.
    var bytes: Int {
        puts.reduce(0) { $0 + $1.key.utf8.count + $1.value.count } + 100 * (conditions.count + deletes.count)
    }

    /// As etcd's: all conditions or nothing. When one does not hold, the versions of all their keys are read in its
    /// place, so that the one that failed can be named.
    func request(_ keys: EtcdKeys, lease: Int64) -> Etcdserverpb_TxnRequest {
        var request = Etcdserverpb_TxnRequest()
        request.compare = conditions.map { condition in
            var compare = Etcdserverpb_Compare()
            compare.target = .version
            compare.result = .equal
            compare.key = keys.bytes(condition.key)
            compare.version = condition.version
            return compare
        }
        request.success = deletes.map { key in
            var operation = Etcdserverpb_RequestOp()
            operation.requestDeleteRange.key = keys.bytes(key)
            return operation
        }
        request.success += puts.map { put in
            var operation = Etcdserverpb_RequestOp()
            operation.requestPut.key = keys.bytes(put.key)
            operation.requestPut.value = Data(put.value)
            operation.requestPut.lease = put.isEphemeral ? lease : 0
            return operation
        }
        request.failure = conditions.map { condition in
            var operation = Etcdserverpb_RequestOp()
            operation.requestRange.key = keys.bytes(condition.key)
            operation.requestRange.keysOnly = true
            return operation
        }
        return request
    }

    /// The first key whose condition did not hold. The versions were read in the transaction itself, so there is one.
    func conflict(in response: Etcdserverpb_TxnResponse) -> String {
        precondition(!conditions.isEmpty, "etcd refused a transaction without conditions")
        for (condition, found) in zip(conditions, response.responses)
        where (found.responseRange.kvs.first?.version ?? 0) != condition.version {
            return condition.key
        }
        return conditions[0].key
    }
}
