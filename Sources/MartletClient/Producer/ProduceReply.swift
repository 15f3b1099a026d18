import KafkaProtocol
import NIOCore

/// A Produce request whose reply is awaited, or whose end with `acks=0`. It belongs to the connection's event loop.
final class ProduceReply: ReplyReceiver, @unchecked Sendable {
    private let request: BatchRequest
    private let version: Int16
    private let sender: ProducerSender
    private let sent: ContinuousClock.Instant
    private(set) var isOver = false
    /// Called once when it is over.
    var onEnd: (() -> Void)?

    init(request: BatchRequest, version: Int16, sender: ProducerSender, sent: ContinuousClock.Instant) {
        self.request = request
        self.version = version
        self.sender = sender
        self.sent = sent
    }

    /// The system has taken the request, and no reply will come. False when it was over before.
    func completeWithoutReply() -> Bool { end() }

    private func end() -> Bool {
        guard !isOver else { return false }
        isOver = true
        onEnd?()
        onEnd = nil
        return true
    }

    func complete(_ result: Result<ByteBuffer, ClientError>) {
        guard end() else { return }
        do throws(ClientError) {
            let response = try RequestFrame.decode(try result.get(), replyTo: ProduceRequest.self, version: version)
            let throttle = ClientThrottle.duration(response.throttleTimeMs, of: ProduceRequest.self, version: version)
            sender.didReceive(.success(request.results(response)), for: request, throttle: throttle, sent: sent)
        } catch {
            sender.didReceive(.failure(error), for: request, throttle: .zero, sent: sent)
        }
    }
}

extension BatchRequest {
    /// The reply's results in the order of the batches.
    func results(_ response: ProduceResponse) -> [BatchResult?] {
        batches.map { batch in
            for topic in response.responses where topic.name == batch.completion.topic {
                for answer in topic.partitionResponses where answer.index == batch.completion.partition {
                    return BatchResult(
                        errorCode: answer.errorCode, baseOffset: answer.baseOffset, appendTime: answer.logAppendTimeMs,
                        logStartOffset: answer.logStartOffset,
                        message: answer.recordErrors.first?.batchIndexErrorMessage ?? answer.errorMessage)
                }
            }
            return nil
        }
    }
}
