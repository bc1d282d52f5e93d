// Kafka Streams with exactly_once_v2, as an application uses it: a word count behind a repartition topic, and two
// streams joined within a window, both with stores that changelogs rebuild. The driver kills it and the node.
//
// The cache in front of the stores is off: each word's counts must come out as 1, 2, 3, ... with no number missing
// or told twice, and each pair within the window once. Nothing is judged here: `seen` prints what committed
// records say, the driver knows what is right.
//
// Usage: Streams <bootstrap> <prefix> create | feed <stop file> <base ms> | run <state folder>
//        | wait <records> | seen <records> | configs

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.state.KeyValueStore;

public class Streams {
    static final int PARTITIONS = 2;
    static final Duration WINDOW = Duration.ofSeconds(10);
    static final long PACE_MS = 10;
    /** Ten minutes: whoever waits for its end sees it, even if nobody writes the file. */
    static final int ROUNDS_MAX = 60_000;
    static final long WAIT_MS = 150_000;
    /** How long nothing more may come once all that is expected is there. */
    static final long QUIET_MS = 3_000;

    static String bootstrap;
    static String prefix;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        prefix = args[1];
        switch (args[2]) {
            case "create" -> create();
            case "feed" -> feed(Path.of(args[3]), Long.parseLong(args[4]));
            case "run" -> run(args[3]);
            case "wait" -> System.out.println(count(read(Integer.parseInt(args[3]), 0)));
            case "seen" -> seen(Integer.parseInt(args[3]));
            case "configs" -> configs();
            default -> throw new IllegalArgumentException(args[2]);
        }
    }

    static String topic(String name) {
        return prefix + "-" + name;
    }

    static Properties common() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        return properties;
    }

    static void create() throws Exception {
        try (Admin admin = Admin.create(common())) {
            List<NewTopic> topics = new ArrayList<>();
            for (String name : List.of("lines", "left", "right", "counts", "pairs")) {
                topics.add(new NewTopic(topic(name), PARTITIONS, (short) 1));
            }
            admin.createTopics(topics).all().get();
        }
    }

    /**
     * Until the file is there: one line, and one record on each side of the join, per round; every third pair is
     * outside of the window. Prints how many rounds it were, once all is acknowledged.
     */
    static void feed(Path stop, long base) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        int rounds = 0;
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(common(), new StringSerializer(), new StringSerializer())) {
            for (int at = 0; at < ROUNDS_MAX && !Files.exists(stop); at++, rounds++) {
                String key = "key-" + at;
                long time = base + at;
                long other = time + (at % 3 == 2 ? 2 : 1) * WINDOW.toMillis() - 5_000;
                String words = "all w" + at % 7 + " x" + at % 3;
                sent.add(producer.send(new ProducerRecord<>(topic("lines"), at % PARTITIONS, time, key, words)));
                sent.add(producer.send(new ProducerRecord<>(topic("left"), null, time, key, "l" + at)));
                sent.add(producer.send(new ProducerRecord<>(topic("right"), null, other, key, "r" + at)));
                Thread.sleep(PACE_MS);
            }
            producer.flush();
        }
        for (Future<RecordMetadata> one : sent) {
            one.get();
        }
        System.out.println(rounds);
    }

    static int count(Map<String, List<String>> values) {
        return values.values().stream().mapToInt(List::size).sum();
    }

    static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        Consumed<String, String> texts = Consumed.with(Serdes.String(), Serdes.String());
        Produced<String, String> written = Produced.with(Serdes.String(), Serdes.String());
        builder.stream(topic("lines"), texts)
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with("words", Serdes.String(), Serdes.String()))
            .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counted")
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream()
            .mapValues(count -> Long.toString(count))
            .to(topic("counts"), written);
        KStream<String, String> right = builder.stream(topic("right"), texts);
        builder.stream(topic("left"), texts)
            .join(right, (one, two) -> one + "+" + two,
                JoinWindows.ofTimeDifferenceAndGrace(WINDOW, Duration.ofHours(24)),
                StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String())
                    .withName("joined").withStoreName("joined"))
            .to(topic("pairs"), written);
        return builder.build();
    }

    static void run(String folder) throws Exception {
        Properties properties = common();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, topic("app"));
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        properties.put("auto.offset.reset", "earliest");
        // A killed instance's partitions are free again soon.
        properties.put("session.timeout.ms", 6000);
        properties.put("heartbeat.interval.ms", 1000);
        KafkaStreams streams = new KafkaStreams(topology(), properties);
        streams.setUncaughtExceptionHandler(failure -> {
            failure.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
        Thread.sleep(Long.MAX_VALUE);
    }

    /** Committed records of the outputs, at least so many, and those that come within the quiet time after. */
    static Map<String, List<String>> read(int wanted, long quiet) throws Exception {
        Properties properties = common();
        properties.put("isolation.level", "read_committed");
        properties.put("auto.offset.reset", "earliest");
        Map<String, List<String>> values = new HashMap<>();
        int count = 0;
        try (KafkaConsumer<String, String> consumer =
                 new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (String name : List.of("counts", "pairs")) {
                for (int partition = 0; partition < PARTITIONS; partition++) {
                    partitions.add(new TopicPartition(topic(name), partition));
                }
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long end = System.currentTimeMillis() + WAIT_MS;
            boolean complete = false;
            while (System.currentTimeMillis() < end) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    values.computeIfAbsent(record.key(), key -> new ArrayList<>()).add(record.value());
                    count++;
                }
                if (!complete && count >= wanted) {
                    complete = true;
                    end = System.currentTimeMillis() + quiet;
                }
            }
            if (!complete) {
                throw new IllegalStateException("only " + count + " of " + wanted + " records");
            }
        }
        return values;
    }

    static void seen(int wanted) throws Exception {
        Map<String, List<String>> values = new TreeMap<>(read(wanted, QUIET_MS));
        for (Map.Entry<String, List<String>> one : values.entrySet()) {
            List<String> got = one.getValue();
            boolean counts = true;
            for (int at = 0; at < got.size(); at++) {
                counts = counts && got.get(at).equals(Integer.toString(at + 1));
            }
            System.out.println(one.getKey() + ": " + (counts ? "counts to " + got.size() : got));
        }
    }

    /** What the application's own topics were created with. */
    static void configs() throws Exception {
        try (Admin admin = Admin.create(common())) {
            List<ConfigResource> topics = new ArrayList<>();
            for (String name : new TreeSet<>(admin.listTopics().names().get())) {
                if (name.startsWith(topic("app"))) {
                    topics.add(new ConfigResource(ConfigResource.Type.TOPIC, name));
                }
            }
            Map<ConfigResource, Config> described = admin.describeConfigs(topics).all().get();
            for (ConfigResource one : topics) {
                Map<String, String> set = new TreeMap<>();
                for (ConfigEntry entry : described.get(one).entries()) {
                    if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
                        set.put(entry.name(), entry.value());
                    }
                }
                System.out.println(one.name() + " " + set);
            }
        }
    }
}
