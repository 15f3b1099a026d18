/// What is to become of a request.
public struct Interception: Sendable, Hashable {
    /// When the request meets its fate.
    public enum Moment: Sendable, Hashable {
        /// The broker is not given the request: nothing of it happens.
        case beforeExecution
        /// The broker carries the request out, and what it answers is replaced, delayed or lost.
        case afterExecution
    }

    enum Action: Hashable {
        case proceed
        case fail(BrokerErrorCode)
        case delay(Duration)
        case closeConnection
        case dropReply
    }

    let action: Action
    let moment: Moment

    /// The request goes its way.
    public static let proceed = Interception(action: .proceed, moment: .beforeExecution)

    /// The request is answered with the error, for each topic and partition that it names. A produce request with
    /// `acks=0`, which has no reply, ends its connection instead, as in Kafka.
    public static func fail(_ error: BrokerErrorCode, _ moment: Moment = .beforeExecution) -> Interception {
        Interception(action: .fail(error), moment: moment)
    }

    /// The request waits, or after its execution the reply does; what follows on the same connection waits with it, as
    /// replies come in the order of the requests.
    public static func delay(_ duration: Duration, _ moment: Moment = .beforeExecution) -> Interception {
        Interception(action: .delay(duration), moment: moment)
    }

    /// The connection ends, and the request is not carried out.
    public static let closeConnection = closeConnection(.beforeExecution)

    /// The connection ends.
    public static func closeConnection(_ moment: Moment) -> Interception {
        Interception(action: .closeConnection, moment: moment)
    }

    /// The request is carried out, and its reply never comes.
    public static let dropReply = dropReply(.afterExecution)

    /// The reply never comes, nor do those of later requests on the same connection, because replies come in order.
    public static func dropReply(_ moment: Moment) -> Interception {
        Interception(action: .dropReply, moment: moment)
    }
}

/// A request on its way to the broker.
public struct InterceptedRequest: Sendable, Hashable {
    /// What it asks for.
    public let api: InterceptedAPI
    /// The version of the API that the client speaks.
    public let apiVersion: Int
    /// The name that the client gives itself.
    public let clientId: String?
    /// The topics that it names or, of a fetch, that its session knows. Empty for requests about all topics or none, and
    /// for `offsetFetch`.
    public let topics: Set<String>
    /// Which of the requests that the hook was asked about, from 1 on.
    public let number: Int
}
