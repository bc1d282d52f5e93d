// Apache Kafka's own Java client for `cargo x interop`; `lines.py` beside this folder tells the protocol.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Client {
    private static final long PATIENCE_S = 60;
    private static final Duration POLL = Duration.ofMillis(100);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final PrintStream out;
    private final BufferedReader input;
    private final String bootstrap;
    private final String topic;
    private final JsonNode options;

    public static void main(String[] words) throws Exception {
        Client client = new Client(words);
        switch (words[0]) {
            case "create" -> client.create();
            case "produce" -> client.produce();
            case "consume" -> client.consume();
            case "member" -> client.member();
            default -> throw new IllegalArgumentException("no such command: " + words[0]);
        }
    }

    private Client(String[] words) throws IOException {
        out = System.out;
        // The logger complains to standard output, which is the driver's.
        System.setOut(System.err);
        input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        bootstrap = words[1];
        topic = words[2];
        options = JSON.readTree(words[3]);
    }

    private Map<String, Object> config(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.put("bootstrap.servers", bootstrap);
        config.put("reconnect.backoff.max.ms", 500);
        return config;
    }

    private void create() throws Exception {
        try (Admin admin = Admin.create(config(Map.of()))) {
            NewTopic wanted = new NewTopic(topic, options.get("partitions").asInt(), (short) 1);
            admin.createTopics(List.of(wanted)).all().get(PATIENCE_S, TimeUnit.SECONDS);
        }
    }

    private void produce() throws Exception {
        Map<String, Object> config = config(Map.of(
            "compression.type", options.get("codec").asText(),
            "enable.idempotence", options.get("idempotent").asBoolean(),
            "acks", "all",
            "linger.ms", 20));
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, bytes, bytes)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                if (!line.isBlank()) {
                    sent.add(producer.send(toSend(JSON.readTree(line))));
                    continue;
                }
                ObjectNode answer = JSON.createObjectNode();
                ArrayNode offsets = answer.putArray("offsets");
                for (Future<RecordMetadata> one : sent) {
                    offsets.add(one.get(PATIENCE_S, TimeUnit.SECONDS).offset());
                }
                tell(answer);
                sent.clear();
            }
        }
    }

    private ProducerRecord<byte[], byte[]> toSend(JsonNode one) {
        ProducerRecord<byte[], byte[]> made = new ProducerRecord<>(
            topic, one.get("partition").asInt(), one.get("timestamp").asLong(),
            unhex(one.get("key")), unhex(one.get("value")));
        for (JsonNode pair : one.get("headers")) {
            made.headers().add(pair.get(0).asText(), unhex(pair.get(1)));
        }
        return made;
    }

    private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> config) {
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        return new KafkaConsumer<>(config, bytes, bytes);
    }

    private void consume() throws IOException {
        Map<String, Object> config = config(Map.of("auto.offset.reset", "none", "enable.auto.commit", false));
        try (KafkaConsumer<byte[], byte[]> reader = consumer(config)) {
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                JsonNode places = JSON.readTree(line);
                Map<TopicPartition, Long> ends = new HashMap<>();
                for (JsonNode place : places) {
                    ends.put(partition(place), place.get("end").asLong());
                }
                reader.assign(ends.keySet());
                for (JsonNode place : places) {
                    TopicPartition where = partition(place);
                    reader.seek(where, start(reader, where, place));
                }
                while (ends.entrySet().stream().anyMatch(one -> reader.position(one.getKey()) < one.getValue())) {
                    tellAll(reader.poll(POLL));
                }
                tell(JSON.createObjectNode().put("end", true));
            }
        }
    }

    private TopicPartition partition(JsonNode place) {
        return new TopicPartition(topic, place.get("partition").asInt());
    }

    private static long start(KafkaConsumer<byte[], byte[]> reader, TopicPartition where, JsonNode place) {
        return place.has("time")
            ? reader.offsetsForTimes(Map.of(where, place.get("time").asLong())).get(where).offset()
            : place.get("offset").asLong();
    }

    private void member() throws Exception {
        boolean cooperative = options.path("cooperative").asBoolean();
        Map<String, Object> config = config(Map.of(
            "group.id", options.get("group").asText(),
            "auto.offset.reset", "earliest",
            "enable.auto.commit", false));
        if (options.path("consumer_protocol").asBoolean()) {
            config.put("group.protocol", "consumer");
        } else {
            config.put("session.timeout.ms", options.get("session").asInt());
            config.put("heartbeat.interval.ms", 500);
            config.put("partition.assignment.strategy",
                (cooperative ? CooperativeStickyAssignor.class : RangeAssignor.class).getName());
        }
        Thread listener = new Thread(Client::readToEnd);
        listener.setDaemon(true);
        listener.start();
        try (KafkaConsumer<byte[], byte[]> reader = consumer(config)) {
            reader.subscribe(List.of(topic));
            TreeSet<Integer> owned = null;
            boolean uncommitted = false;
            while (listener.isAlive()) {
                ConsumerRecords<byte[], byte[]> polled = reader.poll(POLL);
                TreeSet<Integer> now = new TreeSet<>();
                reader.assignment().forEach(one -> now.add(one.partition()));
                if (!now.equals(owned)) {
                    owned = now;
                    tell(JSON.createObjectNode().set("assigned", JSON.valueToTree(owned)));
                }
                tellAll(polled);
                uncommitted = (uncommitted || !polled.isEmpty()) && !commit(reader);
            }
        }
    }

    // Whether what was taken is committed; a rebalance may be in the way, then it is tried again.
    private static boolean commit(KafkaConsumer<byte[], byte[]> reader) {
        try {
            reader.commitSync();
            return true;
        } catch (KafkaException error) {
            System.err.println(error);
            return false;
        }
    }

    private static void readToEnd() {
        try (InputStream all = System.in) {
            all.readAllBytes();
        } catch (IOException error) {
            System.err.println(error);
        }
    }

    private void tellAll(ConsumerRecords<byte[], byte[]> records) {
        for (ConsumerRecord<byte[], byte[]> one : records) {
            ObjectNode line = JSON.createObjectNode();
            line.put("partition", one.partition());
            line.put("offset", one.offset());
            line.put("timestamp", one.timestamp());
            line.put("key", hex(one.key()));
            line.put("value", hex(one.value()));
            ArrayNode headers = line.putArray("headers");
            for (Header header : one.headers()) {
                headers.addArray().add(header.key()).add(hex(header.value()));
            }
            tell(line);
        }
    }

    private void tell(JsonNode line) {
        out.println(line);
        out.flush();
    }

    private static byte[] unhex(JsonNode text) {
        return text.isNull() ? null : HexFormat.of().parseHex(text.asText());
    }

    private static String hex(byte[] data) {
        return data == null ? null : HexFormat.of().formatHex(data);
    }
}
