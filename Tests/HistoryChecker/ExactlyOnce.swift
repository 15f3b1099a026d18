/// Consume, transform, produce: whether each input led to the outputs it should, by the final reads of both sides.
package struct ExactlyOnce: Hashable, Sendable {
    /// Which input an output was made from, as the output itself says.
    package enum Source: Hashable, Sendable {
        case offset(TopicPartition, Int64)
        case value(TopicPartition, ValueID)
    }

    package struct Output: Hashable, Sendable {
        package var record: Record
        package var source: Source

        package init(_ record: Record, from source: Source) {
            self.record = record
            self.source = source
        }
    }

    /// The final reads of the partitions that were consumed.
    package var inputs: [Record]
    /// The final reads of the partitions that were produced to. Each input makes one output.
    package var outputs: [Output]

    package init(inputs: [Record], outputs: [Output]) {
        self.inputs = inputs
        self.outputs = outputs
    }

    /// Inputs without an output, inputs with several, outputs without an input; in a stable order.
    package func anomalies() -> [Anomaly] {
        var byOffset: [Source: Int] = [:]
        var byValue: [Source: Int] = [:]
        for (number, input) in inputs.enumerated() {
            byOffset[.offset(input.partition, input.offset)] = number
            byValue[.value(input.partition, input.value)] = number
        }
        var made = [[Record]](repeating: [], count: inputs.count)
        var anomalies: [Anomaly] = []
        for output in outputs {
            if let number = byOffset[output.source] ?? byValue[output.source] {
                made[number].append(output.record)
            } else {
                anomalies.append(fromNowhere(output))
            }
        }
        for (input, outputs) in zip(inputs, made) where outputs.count != 1 {
            anomalies.append(outputs.isEmpty ? notProcessed(input) : processedAgain(input, outputs))
        }
        return anomalies.inStableOrder()
    }

    private func notProcessed(_ input: Record) -> Anomaly {
        Anomaly(
            .notProcessed, input.partition, offsets: [input.offset], values: [input.value],
            "no output was made from \(input.value) at offset \(input.offset)")
    }

    private func processedAgain(_ input: Record, _ outputs: [Record]) -> Anomaly {
        let places = outputs.map { "\($0.value) at \($0.partition) offset \($0.offset)" }
        return Anomaly(
            .processedAgain, input.partition, offsets: [input.offset], values: [input.value],
            "\(input.value) at offset \(input.offset) was processed \(outputs.count) times, into \(listed(places))")
    }

    private func fromNowhere(_ output: Output) -> Anomaly {
        let source =
            switch output.source {
            case .offset(let partition, let offset): "\(partition) offset \(offset)"
            case .value(let partition, let value): "\(value) of \(partition)"
            }
        return Anomaly(
            .processedFromNowhere, output.record.partition, offsets: [output.record.offset],
            values: [output.record.value],
            "\(output.record.value) at offset \(output.record.offset) was made from \(source), which is no input"
        )
    }
}
