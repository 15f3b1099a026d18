/// The format of a history, for `--help`, which breaks lines after 80 columns.
let formatHelp = """
    A history is what clients did and were told, one JSON object a line. Events of
    one process stand in the order in which it did them. Every event has

      type     one of those below
      process  one producer session or one consumer
      time     optional: [invoked, completed], integers of one monotonic clock for
               all processes; without it, nothing orders the event and those of
               other processes

    and, where "?" marks what may be absent, these fields; others are refused:

      send             topic, partition, value, outcome, offset?, transaction?,
                       idempotent? (true). A value is an integer or a string, and
                       sent once to its partition. The outcome is acknowledged
                       (with the offset, if told), refused (for certain) or
                       unknown. The transaction is the history's own number of
                       the attempt.
      transaction-end  transaction, outcome: committed, aborted or unknown
      poll             isolation: read_committed or read_uncommitted,
                       records: [{topic, partition, offset, value}]
      assigned         partitions: [{topic, partition}]
      revoked          partitions: [{topic, partition}]
      position         topic, partition, offset: the consumer's position was set
      offset-commit    group, topic, partition, offset, transaction?,
                       outcome: acknowledged, refused or unknown. The process is
                       the consumer's.
      offset-fetch     group, topic, partition, offset? (absent: there is none),
                       requiresStable? (true), final? (false): made when
                       everything had come to its end
      final-read       topic, partition, records: [{offset, value, source?}],
                       endOffset?: the partition from its beginning to its end at
                       read_committed, when everything had come to its end; in
                       several pieces if long. For --transform, the source is the
                       input that the record was made from:
                       {topic, partition, offset} or {topic, partition, value}.

    For example:

      {"type":"send","process":"p1","topic":"t","partition":0,"value":17,
       "outcome":"acknowledged","offset":4,"time":[1200,1350]}

    (on one line). Tests/HistoryChecker/README.md has an example of each event, and
    what each anomaly means.

    Each anomaly is a line, in an order that depends on the history alone. Ends with
    0 when there is none, 1 when there are some, 2 when the input cannot be read,
    64 when called wrongly.

      check-history history.jsonl
      check-history --json --transform orders:invoices < history.jsonl
    """
