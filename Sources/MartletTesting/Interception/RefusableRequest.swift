import Broker
import GroupCoordinator
import KafkaProtocol
import TransactionCoordinator

/// A request that can be answered with an error about everything that it names.
protocol RefusableRequest: ProtocolRequest {
    func refused(_ code: ErrorCode, version: Int16, _ broker: Broker) -> Response
    /// The topics that it is about; an empty name stands for none.
    func topicNames(_ broker: Broker) -> [String]
}

extension RefusableRequest {
    func topicNames(_ broker: Broker) -> [String] { [] }
}

extension Broker {
    /// A topic's name, from a version of a request that has names or one that has ids.
    func topicName(_ name: String?, _ id: Uuid) -> String {
        if let name, !name.isEmpty { return name }
        return topics.topic(withId: id)?.name ?? ""
    }
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
