import RecordFormat

package struct ProducerOptions: Sendable {
    package enum Acknowledgements: Int16, Sendable {
        /// The broker does not answer; records may be lost without a word.
        case none = 0
        /// The leader has it.
        case leader = 1
        /// All in-sync replicas have it.
        case all = -1
    }

    package var acknowledgements = Acknowledgements.all
    package var codec = CompressionCodec.none
    /// nil: the codec's default.
    package var compressionLevel: Int?
    /// A batch goes out when it is this long, before compression. A record may be longer.
    package var batchBytes = 256 * 1024
    /// How long a batch that is not full waits for more records.
    package var linger: Duration = .milliseconds(5)
    /// How much may wait to be sent before `send` waits too.
    package var bufferBytes = 32 << 20
    /// How long a record may take from `send` until it is acknowledged, with all retries.
    package var deliveryTimeout: Duration = .seconds(120)
    /// The broker drops what a retry sends twice. Needs `acknowledgements` of all.
    package var isIdempotent = true

    package init() {}
}
