// Transactions as an application sees them, with Kafka's own Java client: commit, abort, what readers of
// either isolation get, offsets within transactions, fencing, and what administrators are told. Prints one line
// for each thing seen; the lines are the same on every server that does as Apache Kafka does.
//
// Usage: Transactions <bootstrap> <prefix of topics and ids> [check: only what must outlive the server]

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transactions {
    static String bootstrap;
    static String prefix;
    static String topic;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        prefix = args[1];
        topic = prefix + "-records";
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            if (args.length > 2) {
                administration(admin);
                return;
            }
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get();
            records(admin);
            offsets();
            fencing(admin);
            hanging(admin);
            administration(admin);
        }
    }

    static Properties common() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        return properties;
    }

    static KafkaProducer<String, String> producer(String id) {
        Properties properties = common();
        properties.put("transactional.id", prefix + "-" + id);
        properties.put("max.block.ms", "30000");
        KafkaProducer<String, String> producer =
            new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        return producer;
    }

    static void send(KafkaProducer<String, String> producer, int partition, String value) throws Exception {
        producer.send(new ProducerRecord<>(topic, partition, "k", value)).get();
    }

    static void transaction(KafkaProducer<String, String> producer, String name, boolean commit)
            throws Exception {
        producer.beginTransaction();
        for (int at = 0; at < 4; at++) {
            send(producer, at % 2, name + at);
        }
        if (commit) {
            producer.commitTransaction();
        } else {
            producer.abortTransaction();
        }
    }

    static void records(Admin admin) throws Exception {
        try (KafkaProducer<String, String> producer = producer("records")) {
            transaction(producer, "a", true);
            transaction(producer, "b", false);
            transaction(producer, "c", true);
            transaction(producer, "d", false);
            producer.beginTransaction();
            producer.abortTransaction();
            producer.beginTransaction();
            send(producer, 0, "open");
            read("read_committed", "with one open");
            read("read_uncommitted", "with one open");
            ends(admin, "with one open");
            TransactionDescription open = describe(admin, "records");
            System.out.println("open: " + open.state() + " " + open.topicPartitions());
            for (ProducerState state : producers(admin, 0)) {
                System.out.println("writes: sequence " + state.lastSequence() + ", since "
                    + state.currentTransactionStartOffset());
            }
            producer.commitTransaction();
        }
        waitUntilComplete(admin, "records");
        read("read_committed", "at the end");
        ends(admin, "at the end");
    }

    static List<ProducerState> producers(Admin admin, int partition) throws Exception {
        TopicPartition at = new TopicPartition(topic, partition);
        return admin.describeProducers(List.of(at)).partitionResult(at).get().activeProducers();
    }

    static TransactionDescription describe(Admin admin, String id) throws Exception {
        String name = prefix + "-" + id;
        return admin.describeTransactions(List.of(name)).description(name).get();
    }

    static void waitUntilComplete(Admin admin, String id) throws Exception {
        for (int tries = 0; tries < 300; tries++) {
            if (describe(admin, id).state().toString().startsWith("Complete")) {
                return;
            }
            Thread.sleep(100);
        }
        throw new IllegalStateException(id + " does not complete");
    }

    static void ends(Admin admin, String when) throws Exception {
        Map<String, Long> ends = new TreeMap<>();
        for (IsolationLevel level : IsolationLevel.values()) {
            for (int partition = 0; partition < 2; partition++) {
                TopicPartition at = new TopicPartition(topic, partition);
                long end = admin.listOffsets(Map.of(at, OffsetSpec.latest()), new ListOffsetsOptions(level))
                    .partitionResult(at).get().offset();
                ends.put(level + " " + partition, end);
            }
        }
        System.out.println("ends " + when + ": " + ends);
    }

    static void read(String isolation, String when) throws Exception {
        Properties properties = common();
        properties.put("isolation.level", isolation);
        properties.put("auto.offset.reset", "earliest");
        List<TopicPartition> all = List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1));
        Map<Integer, List<String>> found = new TreeMap<>();
        try (KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            long until = System.currentTimeMillis() + 30_000;
            boolean more = true;
            while (more && System.currentTimeMillis() < until) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    found.computeIfAbsent(record.partition(), any -> new ArrayList<>()).add(record.value());
                }
                more = false;
                for (TopicPartition at : all) {
                    more |= consumer.position(at) < ends.get(at);
                }
            }
        }
        System.out.println(isolation + " " + when + ": " + found);
    }

    static void offsets() throws Exception {
        Properties properties = common();
        properties.put("group.id", prefix + "-group");
        TopicPartition at = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
                KafkaProducer<String, String> producer = producer("offsets")) {
            for (boolean commit : new boolean[] {true, false, true}) {
                long offset = commit ? 3 : 5;
                producer.beginTransaction();
                send(producer, 1, "copied");
                producer.sendOffsetsToTransaction(Map.of(at, new OffsetAndMetadata(offset, "m" + offset)),
                    consumer.groupMetadata());
                if (commit) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
                OffsetAndMetadata committed = consumer.committed(Collections.singleton(at)).get(at);
                System.out.println("offsets, commit " + commit + ": " + committed);
            }
        }
    }

    static void fencing(Admin admin) throws Exception {
        KafkaProducer<String, String> old = producer("fenced");
        old.beginTransaction();
        send(old, 0, "of the old");
        try (KafkaProducer<String, String> fresh = producer("fenced")) {
            try {
                send(old, 0, "too late");
                System.out.println("the old producer goes on");
            } catch (Exception fenced) {
                System.out.println("fenced while sending: " + fenced.getCause().getClass().getSimpleName());
            }
            try {
                old.commitTransaction();
                System.out.println("the old producer commits");
            } catch (Exception fenced) {
                System.out.println("fenced at commit: " + fenced.getClass().getSimpleName());
            }
            old.close(Duration.ZERO);
            transaction(fresh, "n", true);
            admin.fenceProducers(List.of(prefix + "-fenced")).all().get();
            try {
                transaction(fresh, "late", true);
                System.out.println("a producer fenced by an administrator goes on");
            } catch (Exception fenced) {
                System.out.println("fenced by an administrator");
            }
        }
        System.out.println("after fencing: " + describe(admin, "fenced").state());
    }

    static void hanging(Admin admin) throws Exception {
        KafkaProducer<String, String> lost = producer("hanging");
        lost.beginTransaction();
        send(lost, 0, "lost");
        TopicPartition at = new TopicPartition(topic, 0);
        ProducerState state = null;
        for (ProducerState one : producers(admin, 0)) {
            if (one.currentTransactionStartOffset().isPresent()) {
                state = one;
            }
        }
        System.out.println("hangs: " + (state != null));
        admin.abortTransaction(new AbortTransactionSpec(at, state.producerId(), (short) state.producerEpoch(),
            state.coordinatorEpoch().orElse(0))).all().get();
        boolean open = false;
        for (ProducerState one : producers(admin, 0)) {
            open |= one.currentTransactionStartOffset().isPresent();
        }
        System.out.println("hangs after abort: " + open);
        lost.close(Duration.ZERO);
    }

    static void administration(Admin admin) throws Exception {
        Map<String, String> states = new TreeMap<>();
        admin.listTransactions(new ListTransactionsOptions().filterOnTransactionalIdPattern(prefix + "-.*"))
            .all().get().forEach(one -> states.put(one.transactionalId(), one.state().toString()));
        System.out.println("listed: " + states.keySet());
        try {
            describe(admin, "nobody");
            System.out.println("nobody is described");
        } catch (Exception missing) {
            System.out.println("nobody: " + missing.getCause().getClass().getSimpleName());
        }
        read("read_committed", "last");
    }
}
