/// Values of one producer that lie in another order than they were sent.
func orderAnomalies(_ index: HistoryIndex) -> [Anomaly] {
    index.sendsInOrder().flatMap { sends in nonMonotonicSends(sends, index) + reorderedWrites(sends, index) }
}

extension HistoryIndex {
    /// The sends of each process to each partition, in the order of their invocation: by time where all have one,
    /// else as the history lists them.
    func sendsInOrder() -> [[Int]] {
        struct Stream: Hashable {
            let process: Int
            let partition: Int
        }
        var numbers: [Stream: Int] = [:]
        var streams: [[Int]] = []
        for (number, send) in sends.enumerated() {
            let stream = Stream(process: send.process, partition: values[send.value].partition)
            if let known = numbers[stream] {
                streams[known].append(number)
            } else {
                numbers[stream] = streams.count
                streams.append([number])
            }
        }
        return streams.map { stream in
            let times = stream.compactMap { events[sends[$0].event].time?.invoked }
            guard times.count == stream.count else { return stream }
            return zip(times, stream).sorted { $0 < $1 }.map(\.1)
        }
    }
}

private func nonMonotonicSends(_ sends: [Int], _ index: HistoryIndex) -> [Anomaly] {
    var anomalies: [Anomaly] = []
    var previous: (send: HistoryIndex.IndexedSend, offset: Int64)?
    for number in sends {
        let send = index.sends[number]
        guard let offset = send.acknowledgedOffset else { continue }
        if let previous, offset < previous.offset, mustFollow(previous.send, send, index) {
            let (first, second) = (index.values[previous.send.value], index.values[send.value])
            anomalies.append(
                Anomaly(
                    .nonMonotonicSend, index.name(second.partition), offsets: [previous.offset, offset],
                    values: [first.id, second.id], process: index.process(send.event),
                    "\(second.id) was acknowledged at offset \(offset), after \(first.id) at \(previous.offset)"))
        }
        previous = (send, offset)
    }
    return anomalies
}

/// Whether the second, sent later, must lie behind the first. Several requests in flight may overtake each other
/// unless the producer numbers them.
private func mustFollow(
    _ first: HistoryIndex.IndexedSend, _ second: HistoryIndex.IndexedSend, _ index: HistoryIndex
) -> Bool {
    if first.isIdempotent && second.isIdempotent { return true }
    guard let left = index.events[first.event].time, let right = index.events[second.event].time else { return false }
    return left.completed < right.invoked
}

private func reorderedWrites(_ sends: [Int], _ index: HistoryIndex) -> [Anomaly] {
    var anomalies: [Anomaly] = []
    var previous: (send: HistoryIndex.IndexedSend, offset: Int64)?
    for number in sends {
        let send = index.sends[number]
        let value = index.values[send.value]
        guard send.isIdempotent, send.outcome != .refused else { continue }
        guard let offset = value.finalOffset ?? value.readOffset else { continue }
        if let previous, offset < previous.offset {
            // What the acknowledgements say already is said there.
            let wasTold = (send.acknowledgedOffset ?? .max) < (previous.send.acknowledgedOffset ?? .min)
            let first = index.values[previous.send.value]
            if !wasTold {
                anomalies.append(
                    Anomaly(
                        .reorderedWrites, index.name(value.partition), offsets: [previous.offset, offset],
                        values: [first.id, value.id], process: index.process(send.event),
                        "\(value.id), sent after \(first.id), is at offset \(offset) before it at \(previous.offset)"))
            }
        }
        previous = (send, offset)
    }
    return anomalies
}
