/// Writes one message as Swift. The generated code is plain statements on purpose: it compiles fast and reads like
/// what a person would have written.
struct SwiftEmitter {
    private let message: Message
    private var text = ""
    private var depth = 0

    private init(_ message: Message) {
        self.message = message
    }

    static func emit(_ message: Message) -> String {
        var emitter = SwiftEmitter(message)
        emitter.emitMessage()
        return emitter.text
    }

    // MARK: Lines

    private mutating func line(_ content: String = "") {
        text += content.isEmpty ? "\n" : String(repeating: "    ", count: depth) + content + "\n"
    }

    private mutating func block(_ opening: String, _ body: (inout SwiftEmitter) -> Void) {
        line(opening + " {")
        depth += 1
        body(&self)
        depth -= 1
        line("}")
    }

    // MARK: Structs

    private mutating func emitMessage() {
        let flexible = message.flexible.intersection(message.versions)
        let flexibleFrom = flexible.isEmpty ? "Int16.max" : "\(flexible.lower)"
        var conformance = "ProtocolMessage"
        switch message.kind {
        case .request: conformance = "ProtocolRequest"
        case .response: conformance = "ProtocolResponse"
        case .header, .data: break
        }
        line("/// `\(message.name)`, versions \(message.versions.lower) to \(message.versions.upper).")
        block("package struct \(message.name): \(conformance)") {
            if let apiKey = $0.message.apiKey {
                $0.line("package static let apiKey = ApiKey(rawValue: \(apiKey))!")
            }
            let versions = $0.message.versions
            $0.line("package static let validVersions: ClosedRange<Int16> = \(versions.lower)...\(versions.upper)")
            $0.line("package static let firstFlexibleVersion: Int16 = \(flexibleFrom)")
            if $0.message.kind == .request {
                $0.line("package typealias Response = \(swiftResponseName($0.message.name))")
            }
            $0.line()
            $0.emitBody(name: $0.message.name, fields: $0.message.fields)
            for structure in $0.message.structs {
                $0.line()
                $0.block("package struct \(structure.name): WireStructure") {
                    $0.emitBody(name: structure.name, fields: structure.fields)
                }
            }
        }
    }

    private mutating func emitBody(name: String, fields allFields: [Field]) {
        // A field that only versions older than the specification's had is not worth a property.
        let fields = allFields.filter { !$0.versions.intersection(message.versions).isEmpty }
        for field in fields {
            line("package var \(escaped(field.swiftName)): \(swiftType(field)) = \(defaultLiteral(field))")
        }
        if !fields.isEmpty { line() }
        line("package init() {}")
        line()
        emitDecoder(fields)
        line()
        emitEncoder(name, fields)
        if message.kind == .response { emitErrorCodes(fields) }
    }

    // MARK: Error codes

    /// Responses can be asked for the errors that they carry, wherever in them, for metrics.
    private mutating func emitErrorCodes(_ fields: [Field]) {
        let carrying = fields.filter { carriesErrors($0) }
        guard !carrying.isEmpty else { return }
        line()
        block("package func forEachErrorCode(_ body: (Int16) -> Void)") {
            for field in carrying {
                if field.name == "ErrorCode" {
                    $0.line("body(self.\(field.swiftName))")
                } else {
                    let optional = $0.isOptional(field) ? " ?? []" : ""
                    $0.line("for element in self.\(field.swiftName)\(optional) { element.forEachErrorCode(body) }")
                }
            }
        }
    }

    private func carriesErrors(_ field: Field) -> Bool {
        if field.name == "ErrorCode" { return true }
        guard case .array(.structure(let name)) = field.type else { return false }
        return message.structs.first { $0.name == name }!.fields.contains { carriesErrors($0) }
    }

    // MARK: Decoding

    private mutating func emitDecoder(_ fields: [Field]) {
        line("package init(")
        line("    from bytes: RawSpan, at cursor: inout ByteCursor, version: Int16")
        block(") throws(ProtocolDecodingError)") {
            $0.emitFlexibleConstant(unused: fields.allSatisfy { !$0.needsFlexible })
            for field in fields where field.tag == nil {
                $0.emitConditional(field.versions.intersection($0.message.versions)) {
                    $0.emitRead(field)
                }
            }
            $0.emitIfFlexible { $0.emitTagReads(fields.filter { $0.tag != nil }) }
        }
    }

    private mutating func emitRead(_ field: Field) {
        let present = field.versions.intersection(message.versions)
        let nullable = field.nullable.intersection(present)
        let plain = "self.\(field.swiftName) = \(readExpression(field, nullable: false))"
        let optional = "self.\(field.swiftName) = \(readExpression(field, nullable: true))"
        if nullable.isEmpty {
            line(plain)
        } else if nullable == present {
            line(optional)
        } else {
            line("if \(condition(nullable)) {")
            line("    " + optional)
            line("} else {")
            line("    " + plain)
            line("}")
        }
    }

    private func readExpression(_ field: Field, nullable: Bool) -> String {
        let flexible = field.neverFlexible ? "false" : flexibleExpression
        let prefix = nullable ? "nullable" : ""
        func named(_ name: String) -> String {
            nullable ? prefix + name.prefix(1).uppercased() + name.dropFirst() : name
        }
        switch field.type {
        case .bool: return "try cursor.bool(bytes)"
        case .int8: return "try cursor.int8(bytes)"
        case .int16: return "try cursor.int16(bytes)"
        case .uint16: return "try cursor.uint16(bytes)"
        case .int32: return "try cursor.int32(bytes)"
        case .int64: return "try cursor.int64(bytes)"
        case .float64: return "try cursor.float64(bytes)"
        case .uuid: return "try cursor.uuid(bytes)"
        case .string: return "try cursor.\(named("string"))(bytes, flexible: \(flexible))"
        case .bytes, .records: return "try cursor.\(named("bytes"))(bytes, flexible: \(flexible))"
        case .structure(let name):
            let read = "try \(name)(from: bytes, at: &cursor, version: version)"
            return nullable ? "try cursor.isPresent(bytes) ? \(read.dropFirst(4)) : nil" : read
        case .array(.structure):
            return "try cursor.\(named("structures"))(bytes, flexible: \(flexible), version: version)"
        case .array:
            return "try cursor.\(named("array"))(bytes, flexible: \(flexible))"
        }
    }

    private mutating func emitTagReads(_ fields: [Field]) {
        guard !fields.isEmpty else {
            line("try cursor.skipTaggedFields(bytes)")
            return
        }
        block("for _ in 0..<(try cursor.taggedFieldCount(bytes))") {
            $0.line("let field = try cursor.taggedField(bytes)")
            $0.line("switch field.tag {")
            for field in fields {
                let versions = field.tagVersions.intersection($0.message.versions)
                let always = versions == $0.message.flexible.intersection($0.message.versions)
                let guarded = always ? "" : " where \($0.condition(versions))"
                $0.line("case \(field.tag!)\(guarded):")
                $0.depth += 1
                $0.emitRead(field)
                $0.depth -= 1
            }
            $0.line("default: cursor.skip(field)")
            $0.line("}")
            $0.line("try cursor.finish(field)")
        }
    }

    // MARK: Encoding

    private mutating func emitEncoder(_ name: String, _ fields: [Field]) {
        block("package func encode(to writer: inout ByteWriter, version: Int16)") {
            $0.emitFlexibleConstant(unused: fields.allSatisfy { !$0.needsFlexible })
            for field in fields where field.tag == nil {
                let versions = field.versions.intersection($0.message.versions)
                $0.emitConditional(versions) {
                    $0.emitWrite(field, to: "writer")
                } otherwise: {
                    guard !field.isIgnorable else { return nil }
                    return
                        "writer.refuseUnlessDefault(self.\(field.swiftName) == \($0.defaultLiteral(field)), \"\(name).\(field.name)\")"
                }
            }
            $0.emitIfFlexible { $0.emitTagWrites(fields.filter { $0.tag != nil }) }
        }
    }

    private mutating func emitWrite(_ field: Field, to writer: String) {
        let present = field.versions.intersection(message.versions)
        let nullable = field.nullable.intersection(present)
        let value = "self.\(field.swiftName)"
        if nullable.isEmpty {
            line(writeStatement(field, value, nullable: false, to: writer))
        } else if nullable == present {
            line(writeStatement(field, value, nullable: true, to: writer))
        } else {
            line("if \(condition(nullable)) {")
            line("    " + writeStatement(field, value, nullable: true, to: writer))
            line("} else {")
            line("    " + writeStatement(field, "(\(value) ?? \(emptyLiteral(field)))", nullable: false, to: writer))
            line("}")
        }
    }

    private func writeStatement(_ field: Field, _ value: String, nullable: Bool, to writer: String) -> String {
        let flexible = field.neverFlexible ? "false" : flexibleExpression
        func named(_ name: String) -> String {
            nullable ? "nullable" + name.prefix(1).uppercased() + name.dropFirst() : name
        }
        switch field.type {
        case .bool, .int8, .int16, .uint16, .int32, .int64, .float64, .uuid:
            return "\(writer).write(\(value))"
        case .string: return "\(writer).\(named("string"))(\(value), flexible: \(flexible))"
        case .bytes, .records: return "\(writer).\(named("bytes"))(\(value), flexible: \(flexible))"
        case .structure:
            return nullable
                ? "\(writer).nullableStructure(\(value), version: version)"
                : "\(value).encode(to: &\(writer), version: version)"
        case .array(.structure):
            return "\(writer).\(named("structures"))(\(value), flexible: \(flexible), version: version)"
        case .array:
            return "\(writer).\(named("array"))(\(value), flexible: \(flexible))"
        }
    }

    private mutating func emitTagWrites(_ fields: [Field]) {
        guard !fields.isEmpty else {
            line("writer.noTaggedFields()")
            return
        }
        line("var tagged = TaggedFieldsWriter()")
        for field in fields.sorted(by: { $0.tag! < $1.tag! }) {
            let versions = field.tagVersions.intersection(message.versions)
            let always = versions == message.flexible.intersection(message.versions)
            let version = always ? "" : condition(versions) + ", "
            block("if \(version)self.\(field.swiftName) != \(defaultLiteral(field))") {
                $0.line("var field = ByteWriter()")
                $0.emitWrite(field, to: "field")
                $0.line("tagged.append(\(field.tag!), field)")
            }
        }
        line("writer.taggedFields(tagged)")
    }

    // MARK: Versions

    private var flexibleExpression: String {
        let flexible = message.flexible.intersection(message.versions)
        if flexible.isEmpty { return "false" }
        return flexible == message.versions ? "true" : "flexible"
    }

    private mutating func emitFlexibleConstant(unused: Bool) {
        if flexibleExpression == "flexible" && !unused {
            line("let flexible = version >= \(message.flexible.lower)")
        }
    }

    private mutating func emitIfFlexible(_ body: (inout SwiftEmitter) -> Void) {
        switch flexibleExpression {
        case "false": break
        case "true": body(&self)
        default: block("if version >= \(message.flexible.lower)", body)
        }
    }

    private mutating func emitConditional(
        _ versions: Versions, _ body: (inout SwiftEmitter) -> Void,
        otherwise: (SwiftEmitter) -> String? = { _ in nil }
    ) {
        if versions == message.versions {
            body(&self)
        } else if !versions.isEmpty {
            line("if \(condition(versions)) {")
            depth += 1
            body(&self)
            depth -= 1
            if let alternative = otherwise(self) {
                line("} else {")
                line("    " + alternative)
            }
            line("}")
        }
    }

    private func condition(_ versions: Versions) -> String {
        switch (versions.lower > message.versions.lower, versions.upper < message.versions.upper) {
        case (false, false): return "true"
        case (true, false): return "version >= \(versions.lower)"
        case (false, true): return "version <= \(versions.upper)"
        case (true, true):
            return versions.lower == versions.upper
                ? "version == \(versions.lower)" : "version >= \(versions.lower) && version <= \(versions.upper)"
        }
    }

    // MARK: Types and defaults

    private func isOptional(_ field: Field) -> Bool {
        !field.nullable.intersection(field.versions).intersection(message.versions).isEmpty
    }

    private func swiftType(_ field: Field) -> String {
        swiftType(field.type) + (isOptional(field) ? "?" : "")
    }

    private func swiftType(_ type: FieldType) -> String {
        switch type {
        case .bool: "Bool"
        case .int8: "Int8"
        case .int16: "Int16"
        case .uint16: "UInt16"
        case .int32: "Int32"
        case .int64: "Int64"
        case .float64: "Double"
        case .string: "String"
        case .bytes, .records: "[UInt8]"
        case .uuid: "Uuid"
        case .structure(let name): name
        case .array(let element): "[\(swiftType(element))]"
        }
    }

    private func emptyLiteral(_ field: Field) -> String {
        switch field.type {
        case .bool: "false"
        case .int8, .int16, .uint16, .int32, .int64, .float64: "0"
        case .string: "\"\""
        case .bytes, .records, .array: "[]"
        case .uuid: "Uuid.zero"
        case .structure(let name): "\(name)()"
        }
    }

    private func defaultLiteral(_ field: Field) -> String {
        guard let value = field.defaultValue else {
            return field.type == .records && isOptional(field) ? "nil" : emptyLiteral(field)
        }
        if value == "null" { return "nil" }
        return field.type == .string ? "\"\(value)\"" : (value.isEmpty ? emptyLiteral(field) : value)
    }
}

/// `JoinGroupRequest` → `JoinGroupResponse`.
private func swiftResponseName(_ request: String) -> String {
    String(request.dropLast("Request".count)) + "Response"
}

/// Names that Swift keeps for itself.
private let keywords: Set<String> = ["protocol", "default", "internal", "operator", "extension", "in", "is", "self"]

private func escaped(_ name: String) -> String {
    keywords.contains(name) ? "`\(name)`" : name
}

extension Field {
    var swiftName: String { name.prefix(1).lowercased() + name.dropFirst() }

    /// Whether reading or writing it asks if the version is flexible.
    fileprivate var needsFlexible: Bool {
        if neverFlexible { return false }
        switch type {
        case .string, .bytes, .records, .array: return true
        default: return false
        }
    }
}
