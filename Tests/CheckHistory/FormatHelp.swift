/// The format of a history, for `--help`.
let formatHelp = """
    A history is what clients did and were told, one JSON object a line. Events of one process stand in the order in
    which it did them. Every event has "type", "process" (one producer session or one consumer) and may have "time":
    [invoked, completed], integers of one monotonic clock for all processes. Without times nothing is known of the
    order between processes. Values are integers or strings, each sent once to its partition. A field may be absent
    where it says "optional"; unknown fields are refused.

      send             topic, partition, value, outcome: acknowledged | refused | unknown, offset (when
                       acknowledged; optional), transaction (optional: the history's own number of the attempt),
                       idempotent (optional; true)
      transaction-end  transaction, outcome: committed | aborted | unknown
      poll             isolation: read_committed | read_uncommitted, records: [{topic, partition, offset, value}]
      assigned         partitions: [{topic, partition}]
      revoked          partitions: [{topic, partition}]
      position         topic, partition, offset: the consumer's position was set
      offset-commit    group, topic, partition, offset, outcome: acknowledged | refused | unknown,
                       transaction (optional); the process is the consumer's
      offset-fetch     group, topic, partition, offset (absent: none is committed), requiresStable (optional; true),
                       final (optional; false): made when everything had come to its end
      final-read       topic, partition, records: [{offset, value, source}], endOffset (optional): the partition from
                       its beginning to its end at read_committed, when everything had come to its end. In pieces if
                       long. source (optional, for --transform): {topic, partition, offset} or
                       {topic, partition, value}, the input that the record was made from

      {"type":"send","process":"p1","topic":"t","partition":0,"value":17,"outcome":"acknowledged","offset":4}
      {"type":"final-read","process":"r","topic":"t","partition":0,"records":[{"offset":4,"value":17}],"endOffset":5}

    Each anomaly is a line, in an order that depends on the history alone. Ends with 0 when there is none, 1 when there
    are some, 2 when the input cannot be read, 64 when called wrongly.

      check-history history.jsonl
      check-history --json --transform orders:invoices < history.jsonl
    """
