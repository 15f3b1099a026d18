import Broker
import GroupCoordinator
import KafkaProtocol
import TransactionCoordinator

/// A request that can be answered with an error about everything that it names.
protocol RefusableRequest: ProtocolRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> Response
}

/// Of requests to a group's coordinator: refused in the coordinator's own way.
protocol RefusableGroupRequest: RefusableRequest {
    var groupRequest: GroupRequest { get }
    static func response(_ response: GroupResponse) -> Response?
}

extension RefusableGroupRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> Response {
        let refusal = GroupCoordinatorShard.refusal(of: groupRequest, apiVersion: version, code)
        guard let response = Self.response(refusal) else {
            preconditionFailure("the refusal is of another request")
        }
        return response
    }
}
