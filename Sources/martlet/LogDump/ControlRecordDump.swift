import RecordFormat

/// Records that brokers write among the users'. The key is a version and a type, both of 16 bits.
enum ControlRecordDump {
    static func fields(_ record: RecordView) -> [JSONValue.Field] {
        guard let key = record.key, key.count >= 4 else { return [.init("control", .string("malformed"))] }
        let type = key.loadBigEndian(at: 2, as: Int16.self)
        guard type == 0 || type == 1 else { return [.init("control", .string("type \(type)"))] }
        var fields: [JSONValue.Field] = [.init("endTxnMarker", .string(type == 1 ? "COMMIT" : "ABORT"))]
        if let value = record.value, value.count >= 6 {
            fields.append(.init("coordinatorEpoch", .number(value.loadBigEndian(at: 2, as: Int32.self))))
        }
        return fields
    }
}
