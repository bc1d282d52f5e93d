// Transactional copies from one topic to another with Kafka's own Java client, for `cargo x transactions`.
//
// Several applications in one process, each with a partition, a transactional id and a group of its own: read
// N records, begin, write them, add the offsets, commit. The time of a transaction runs from begin to the end of
// commit. At the end a reader of committed records counts what was copied. Prints one JSON object.
//
// Usage: Copy <bootstrap> <applications> <records a transaction> <warm-up seconds> <seconds>

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Copy {
    private static final String FROM = "copy-from";
    private static final String TO = "copy-to";
    // Read again from the beginning once all is copied.
    private static final int RECORDS = 20_000;
    private static final int RECORD_BYTES = 100;

    private final String bootstrap;
    private final int count;
    private final long warmUntil;
    private final long until;

    private Copy(String bootstrap, int count, long warmUntil, long until) {
        this.bootstrap = bootstrap;
        this.count = count;
        this.warmUntil = warmUntil;
        this.until = until;
    }

    public static void main(String[] words) throws Exception {
        String bootstrap = words[0];
        int applications = Integer.parseInt(words[1]);
        int count = Integer.parseInt(words[2]);
        fill(bootstrap, applications);
        long warmUntil = System.nanoTime() + Long.parseLong(words[3]) * 1_000_000_000L;
        long until = warmUntil + Long.parseLong(words[4]) * 1_000_000_000L;
        Copy copy = new Copy(bootstrap, count, warmUntil, until);
        ExecutorService threads = Executors.newFixedThreadPool(applications);
        List<Future<Told>> running = new ArrayList<>();
        for (int index = 0; index < applications; index++) {
            int partition = index;
            running.add(threads.submit(() -> copy.run(partition)));
        }
        long transactions = 0;
        List<long[]> times = new ArrayList<>();
        for (Future<Told> one : running) {
            Told told = one.get();
            transactions += told.transactions();
            times.add(told.times());
        }
        threads.shutdown();
        long[] all = times.stream().flatMapToLong(Arrays::stream).sorted().toArray();
        System.out.printf(
            "{\"measured\":%d,\"seconds\":%s,\"p50_us\":%d,\"p99_us\":%d,\"max_us\":%d,"
                + "\"transactions\":%d,\"copied\":%d}%n",
            all.length, words[4], at(all, 0.5), at(all, 0.99), at(all, 1.0), transactions, copy.copied(applications));
    }

    private static long at(long[] sorted, double share) {
        int index = (int) Math.ceil(share * sorted.length) - 1;
        return sorted[Math.max(index, 0)];
    }

    private record Told(long transactions, long[] times) { }

    private static void fill(String bootstrap, int partitions) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(
                new NewTopic(FROM, partitions, (short) 1), new NewTopic(TO, partitions, (short) 1))).all().get();
        }
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "linger.ms", 5);
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, bytes, bytes)) {
            List<Future<?>> sent = new ArrayList<>();
            for (int index = 0; index < RECORDS; index++) {
                for (int partition = 0; partition < partitions; partition++) {
                    sent.add(producer.send(new ProducerRecord<>(FROM, partition, null, new byte[RECORD_BYTES])));
                }
            }
            for (Future<?> one : sent) {
                one.get();
            }
        }
    }

    private Told run(int partition) throws Exception {
        Map<String, Object> reading = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap, "group.id", "copy-" + partition, "enable.auto.commit", false,
            "isolation.level", "read_committed", "max.poll.records", count));
        Map<String, Object> writing = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap, "transactional.id", "copy-" + partition));
        ByteArrayDeserializer from = new ByteArrayDeserializer();
        ByteArraySerializer to = new ByteArraySerializer();
        TopicPartition source = new TopicPartition(FROM, partition);
        List<Long> times = new ArrayList<>();
        long transactions = 0;
        try (KafkaConsumer<byte[], byte[]> reader = new KafkaConsumer<>(reading, from, from);
             KafkaProducer<byte[], byte[]> writer = new KafkaProducer<>(writing, to, to)) {
            writer.initTransactions();
            reader.assign(List.of(source));
            reader.seekToBeginning(List.of(source));
            while (System.nanoTime() < until) {
                List<ConsumerRecord<byte[], byte[]>> taken = take(reader, source);
                long begun = System.nanoTime();
                writer.beginTransaction();
                for (ConsumerRecord<byte[], byte[]> one : taken) {
                    writer.send(new ProducerRecord<>(TO, partition, one.key(), one.value()));
                }
                long next = taken.get(taken.size() - 1).offset() + 1;
                writer.sendOffsetsToTransaction(Map.of(source, new OffsetAndMetadata(next)), reader.groupMetadata());
                writer.commitTransaction();
                long ended = System.nanoTime();
                transactions += 1;
                if (begun >= warmUntil && ended <= until) {
                    times.add((ended - begun) / 1_000);
                }
            }
        }
        return new Told(transactions, times.stream().mapToLong(Long::longValue).toArray());
    }

    private List<ConsumerRecord<byte[], byte[]>> take(KafkaConsumer<byte[], byte[]> reader, TopicPartition source) {
        List<ConsumerRecord<byte[], byte[]>> taken = new ArrayList<>();
        while (taken.size() < count) {
            if (reader.position(source) > RECORDS - (count - taken.size())) {
                reader.seekToBeginning(List.of(source));
                taken.clear();
            }
            reader.poll(Duration.ofSeconds(1)).forEach(taken::add);
            if (taken.size() > count) {
                reader.seek(source, taken.get(count).offset());
                taken.subList(count, taken.size()).clear();
            }
        }
        return taken;
    }

    // Records that a reader of committed ones gets: those of every transaction, and no other.
    private long copied(int partitions) throws Exception {
        Map<String, Object> reading = Map.of(
            "bootstrap.servers", bootstrap, "isolation.level", "read_committed", "max.poll.records", 10_000);
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        long seen = 0;
        try (KafkaConsumer<byte[], byte[]> reader = new KafkaConsumer<>(reading, bytes, bytes)) {
            List<TopicPartition> all = new ArrayList<>();
            for (int partition = 0; partition < partitions; partition++) {
                all.add(new TopicPartition(TO, partition));
            }
            reader.assign(all);
            reader.seekToBeginning(all);
            Map<TopicPartition, Long> ends = reader.endOffsets(all);
            while (all.stream().anyMatch(one -> reader.position(one) < ends.get(one))) {
                seen += reader.poll(Duration.ofMillis(200)).count();
            }
        }
        return seen;
    }
}
