//! What `thalweg bench --help` says. Every option has a default that makes sense alone.

pub const HELP: &str = "\
thalweg bench WORKLOAD [OPTION VALUE]...    runs a load against any Kafka-compatible server
thalweg bench compare A.json B.json         ratios B to A with 95% intervals; equal durability only
thalweg bench report RUN.json [--html FILE] [--hgrm FILE]
thalweg bench sink [-b HOST:PORT] [--delay none|fixed:TIME|uniform:TIME:TIME|exponential:TIME]
                                            a server that only acknowledges: tests the generator

Workloads
  produce          acknowledgements of producers
  consume          consumers read what is there from the start
  e2e              from the intended send time to a consumer's hands
  mixed            produce, while consumers follow at the end of the log
  catch-up         produce, first alone, then while a consumer drains a backlog
  many-partitions  produce to 1,000 partitions, one record a batch
  fan-out          e2e, with every consumer reading everything
  failover         a producer for each partition that sends each batch until it is acknowledged;
                   tells how long nobody took records, and reads all of them back

The server
  -b, --brokers HOST:PORT   127.0.0.1:9092
  --topic NAME              bench; created if it is not there
  --partitions N            1 (many-partitions: 1000)
  --replication N           -1: the server's default
  --topic-config KEY=VALUE  for a topic that is created; may be repeated
  --durability WORD         unknown: what an acknowledgement means there, as you know it; goes to
                            the report, and only equal words can be compared

The load
  --rate N|max              max (failover: 1000): records per second, all producers together
  --rate-sweep LOW:HIGH:N   N rates from LOW to HIGH, then closer around the knee; `auto` measures
                            the maximum first
  --warm-up TIME            5s: not in the report; 500ms, 10s, 2m or bare seconds
  --duration TIME           15s
  --threads N               1: event loops for the producers, and as many for the consumers

Producers
  --producers N             1: a connection to each broker
  --size BYTES              1024: of a record's value, at least 16
  --keys none|KIND:N        none; round-robin:N, uniform:N or zipf:N[:EXPONENT] over N keys, which
                            choose the partition as Kafka's clients do
  --partitioner NAME        sticky: fill a batch, then the next partition; or round-robin; no keys
  --batch-bytes N           16384
  --linger-ms N             0
  --acks 0|1|all            all
  --in-flight N             5: requests a connection
  --idempotent true|false   true
  --codec NAME              none, gzip, snappy, lz4, zstd

Consumers
  --consumers N             1: partitions shared out (fan-out: 4, each reads all)
  --group NAME              none: share partitions through a consumer group, if the server has them
  --records N               consume: stop after so many; default: what is there at the start
  --backlog N               1000000: catch-up, records written before
  --fetch-bytes N           1048576: of a partition
  --fetch-wait-ms N         500
  --fetch-session true|false  true: ask only for what changed
  --verify full|checksum    full: each record's sequence; or only checksums and offsets

The report
  --format text|json        text
  --json FILE, --hgrm FILE, --html FILE   the report in other forms, beside it
  --progress on|off         on for a terminal: a line a second
";
