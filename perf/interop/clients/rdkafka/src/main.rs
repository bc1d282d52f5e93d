//! The crate `rdkafka` for `cargo x interop`; `perf/interop/clients/lines.py` tells the protocol.
//!
//! Whatever goes wrong ends the program with its words: the driver shows them.

use std::error::Error;
use std::io::{BufRead, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [command, bootstrap, topic, options] = words.as_slice() else {
        return Err("create|produce|consume|member BOOTSTRAP TOPIC OPTIONS".into());
    };
    let options: Value = serde_json::from_str(options)?;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4")
        .set("reconnect.backoff.max.ms", "500");
    match command.as_str() {
        "create" => create(&config, topic, &options),
        "produce" => produce(config, topic, &options),
        "consume" => consume(config, topic),
        "member" => member(config, topic, &options),
        _ => Err(format!("no such command: {command}").into()),
    }
}

fn create(config: &ClientConfig, topic: &str, options: &Value) -> Outcome<()> {
    let admin: AdminClient<_> = config.create()?;
    let partitions = number(options, "partitions")? as i32;
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let limits = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for made in futures_executor::block_on(admin.create_topics([&wanted], &limits))? {
        made.map_err(|(name, code)| format!("{name}: {code}"))?;
    }
    Ok(())
}

/// Where each record of a batch went, as the deliveries come in.
#[derive(Default)]
struct Deliveries(Mutex<Vec<(usize, Result<i64, KafkaError>)>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Box<usize>) {
        let verdict = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        if let Ok(mut told) = self.0.lock() {
            told.push((*index, verdict));
        }
    }
}

fn produce(mut config: ClientConfig, topic: &str, options: &Value) -> Outcome<()> {
    let codec = options["codec"].as_str().ok_or("no codec")?;
    config.set("compression.type", codec).set("linger.ms", "20");
    if options["idempotent"] == true {
        config.set("enable.idempotence", "true");
    }
    let producer: BaseProducer<Deliveries> = config.create_with_context(Deliveries::default())?;
    let mut batch: Vec<Value> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            batch.push(serde_json::from_str(&line)?);
            continue;
        }
        for (index, one) in batch.iter().enumerate() {
            send(&producer, topic, one, index)?;
        }
        producer.flush(PATIENCE)?;
        let told = std::mem::take(&mut *producer.context().0.lock().map_err(|_| "poisoned")?);
        let mut offsets = vec![Value::Null; batch.len()];
        for (index, verdict) in told {
            offsets[index] = verdict?.into();
        }
        tell(&json!({ "offsets": offsets }))?;
        batch.clear();
    }
    Ok(())
}

fn send(
    producer: &BaseProducer<Deliveries>,
    topic: &str,
    one: &Value,
    index: usize,
) -> Outcome<()> {
    let (key, value) = (unhex(&one["key"])?, unhex(&one["value"])?);
    let mut headers = OwnedHeaders::new();
    for pair in one["headers"].as_array().ok_or("no headers")? {
        let value = unhex(&pair[1])?;
        headers = headers.insert(Header {
            key: pair[0].as_str().ok_or("a header without a name")?,
            value: value.as_ref(),
        });
    }
    let mut record = BaseRecord::with_opaque_to(topic, Box::new(index))
        .partition(number(one, "partition")? as i32)
        .timestamp(number(one, "timestamp")?);
    if headers.count() > 0 {
        record = record.headers(headers);
    }
    if let Some(key) = &key {
        record = record.key(key);
    }
    if let Some(value) = &value {
        record = record.payload(value);
    }
    producer.send(record).map_err(|(error, _)| error)?;
    Ok(())
}

fn consume(mut config: ClientConfig, topic: &str) -> Outcome<()> {
    config
        .set("group.id", "by-assignment")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true");
    let reader: BaseConsumer<DefaultConsumerContext> = config.create()?;
    for line in std::io::stdin().lock().lines() {
        let places: Vec<Value> = serde_json::from_str(&line?)?;
        let mut starts = TopicPartitionList::new();
        let mut ends = std::collections::HashMap::new();
        for place in &places {
            let partition = number(place, "partition")? as i32;
            let offset = match place["time"].as_i64() {
                None => Offset::Offset(number(place, "offset")?),
                Some(time) => by_time(&reader, topic, partition, time)?,
            };
            starts.add_partition_offset(topic, partition, offset)?;
            ends.insert(partition, number(place, "end")?);
        }
        reader.assign(&starts)?;
        while !ends.is_empty() {
            match reader.poll(PATIENCE).ok_or("neither record nor end")? {
                Ok(message) => tell_record(&message)?,
                // Told once for each partition, after its last record.
                Err(KafkaError::PartitionEOF(partition)) => {
                    ends.remove(&partition);
                }
                Err(error) => return Err(error.into()),
            }
        }
        tell(&json!({ "end": true }))?;
    }
    Ok(())
}

fn by_time(
    reader: &BaseConsumer<DefaultConsumerContext>,
    topic: &str,
    partition: i32,
    time: i64,
) -> Outcome<Offset> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(topic, partition, Offset::Offset(time))?;
    let found = reader.offsets_for_times(asked, PATIENCE)?;
    let place = found.find_partition(topic, partition).ok_or("no answer")?;
    place.error()?;
    Ok(place.offset())
}

fn member(mut config: ClientConfig, topic: &str, options: &Value) -> Outcome<()> {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    std::thread::spawn(move || {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        seen.store(true, Ordering::Release);
    });
    config
        .set("group.id", options["group"].as_str().ok_or("no group")?)
        .set(
            "session.timeout.ms",
            number(options, "session")?.to_string(),
        )
        .set("heartbeat.interval.ms", "500")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    let reader: BaseConsumer<DefaultConsumerContext> = config.create()?;
    reader.subscribe(&[topic])?;
    let (mut owned, mut uncommitted) = (None, false);
    while !ended.load(Ordering::Acquire) {
        let mut taken = 0;
        let mut patience = Duration::from_millis(100);
        while let Some(polled) = reader.poll(patience).filter(|_| taken < 500) {
            patience = Duration::ZERO;
            match polled {
                Ok(message) => {
                    tell_record(&message)?;
                    taken += 1;
                }
                // A node that restarts is no reason to give up.
                Err(error) => eprintln!("{error}"),
            }
        }
        let assignment = reader.assignment()?;
        let mut now: Vec<i32> = assignment
            .elements()
            .iter()
            .map(|one| one.partition())
            .collect();
        now.sort_unstable();
        if owned.as_ref() != Some(&now) {
            tell(&json!({ "assigned": now }))?;
            owned = Some(now);
        }
        uncommitted |= taken > 0;
        if uncommitted {
            uncommitted = !commit(&reader);
        }
    }
    Ok(())
}

/// Whether what was taken is committed; a rebalance or the node's end may be in the way, then it is
/// tried again.
fn commit(reader: &BaseConsumer<DefaultConsumerContext>) -> bool {
    match reader.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => true,
        Err(error) => {
            eprintln!("{error}");
            false
        }
    }
}

fn tell(line: &Value) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

fn tell_record(message: &BorrowedMessage<'_>) -> Outcome<()> {
    let headers: Vec<Value> = message.headers().map_or_else(Vec::new, |headers| {
        let pairs = headers.iter();
        pairs.map(|one| json!([one.key, hex(one.value)])).collect()
    });
    tell(&json!({
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp().to_millis(),
        "key": hex(message.key()),
        "value": hex(message.payload()),
        "headers": headers,
    }))
}

fn number(of: &Value, name: &str) -> Outcome<i64> {
    of[name]
        .as_i64()
        .ok_or_else(|| format!("{name} is missing").into())
}

fn hex(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unhex(text: &Value) -> Outcome<Option<Vec<u8>>> {
    let Some(text) = text.as_str() else {
        return Ok(None);
    };
    let digits = (0..text.len()).step_by(2);
    let bytes: Result<_, _> = digits
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16))
        .collect();
    Ok(Some(bytes?))
}
