// Records what clients and a broker say to each other, for the files under tests/golden.
//
// Run: java -cp 'KAFKA_LIBS/*' Capture.java LABEL OUT_DIR PROXY_PORT BROKER_PORT LOWER [COMMAND...]
//
// A proxy listens on PROXY_PORT (which the broker must advertise) and passes everything on to the
// broker. For each API and version it keeps the first exchanges in OUT_DIR/LABEL/kNN_vN_*.bin.
// LOWER is taken from the highest version of every API in the broker's ApiVersions answers, so
// that a client of today speaks as an older one would. With a COMMAND, that is the client;
// without one, the Java client of the class path runs through what its three clients can do.

import java.io.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.*;
import org.apache.kafka.common.serialization.*;

public class Capture {
    static Path out;
    static int lower;
    static final Map<String, Integer> seen = new ConcurrentHashMap<>();
    /** Exchanges kept of one API and version; more of Produce, whose batches differ. */
    static int keep(short key) {
        return key == 0 ? 6 : 1;
    }

    record Asked(short key, short version, byte[] frame) {}

    public static void main(String[] args) throws Exception {
        out = Path.of(args[1]).resolve(args[0]);
        Files.createDirectories(out);
        int port = Integer.parseInt(args[2]);
        int broker = Integer.parseInt(args[3]);
        lower = Integer.parseInt(args[4]);
        ServerSocket server = new ServerSocket(port, 50, InetAddress.getByName("127.0.0.1"));
        daemon(() -> accept(server, broker));
        if (args.length > 5) {
            Process client = new ProcessBuilder(Arrays.asList(args).subList(5, args.length)).inheritIO().start();
            if (!client.waitFor(120, TimeUnit.SECONDS)) client.destroyForcibly();
        } else {
            java(port);
        }
        System.out.println(args[0] + ": " + seen.size() + " kinds");
        System.exit(0);
    }

    static void accept(ServerSocket server, int broker) {
        while (true) {
            try {
                Socket client = server.accept();
                Socket up = new Socket("127.0.0.1", broker);
                Map<Integer, Asked> asked = new ConcurrentHashMap<>();
                pump(client, up, frame -> {
                    ByteBuffer b = ByteBuffer.wrap(frame);
                    asked.put(b.getInt(4), new Asked(b.getShort(0), b.getShort(2), frame));
                    if (b.getShort(0) == 0) write(new Asked(b.getShort(0), b.getShort(2), frame), null);
                });
                pump(up, client, frame -> {
                    Asked q = asked.remove(ByteBuffer.wrap(frame).getInt(0));
                    if (q == null) return;
                    if (q.key != 0) write(q, frame);
                    else writeResponse(q, frame);
                    if (q.key == 18) cap(q.version, ByteBuffer.wrap(frame));
                });
            } catch (IOException e) {
                System.err.println(e);
            }
        }
    }

    static void daemon(Runnable run) {
        Thread thread = new Thread(run);
        thread.setDaemon(true);
        thread.start();
    }

    interface Hook { void see(byte[] frame) throws IOException; }

    static void pump(Socket from, Socket to, Hook hook) {
        daemon(() -> {
            try {
                DataInputStream in = new DataInputStream(new BufferedInputStream(from.getInputStream()));
                DataOutputStream o = new DataOutputStream(to.getOutputStream());
                while (true) {
                    byte[] frame = new byte[in.readInt()];
                    in.readFully(frame);
                    hook.see(frame);
                    byte[] whole = ByteBuffer.allocate(4 + frame.length).putInt(frame.length).put(frame).array();
                    o.write(whole);
                    o.flush();
                }
            } catch (IOException e) {
                try { from.close(); to.close(); } catch (IOException ignored) { }
            }
        });
    }

    static String name(Asked q) { return String.format("k%02d_v%d", q.key, q.version); }

    static void write(Asked q, byte[] response) throws IOException {
        int n = seen.merge(name(q), 1, Integer::sum);
        if (n > keep(q.key)) return;
        Files.write(out.resolve(name(q) + "_" + n + ".request"), q.frame);
        if (response != null) Files.write(out.resolve(name(q) + "_" + n + ".response"), response);
    }

    static void writeResponse(Asked q, byte[] response) throws IOException {
        int n = seen.getOrDefault(name(q), 1);
        if (n <= keep(q.key)) Files.write(out.resolve(name(q) + "_" + n + ".response"), response);
    }

    /** Takes LOWER from the highest versions in an ApiVersions answer, in place. */
    static void cap(short version, ByteBuffer b) {
        if (b.getShort(4) != 0 || lower == 0) return;
        int at = 6;
        int count;
        if (version >= 3) {
            count = 0;
            for (int shift = 0; ; shift += 7) {
                int x = b.get(at++);
                count |= (x & 0x7f) << shift;
                if (x >= 0) break;
            }
            count--;
        } else {
            count = b.getInt(at);
            at += 4;
        }
        for (int i = 0; i < count; i++) {
            short min = b.getShort(at + 2);
            b.putShort(at + 4, (short) Math.max(min, b.getShort(at + 4) - lower));
            at += version >= 3 ? 7 : 6;
        }
    }

    // ---- what the Java client can do ----

    interface Step { void run() throws Exception; }

    static final ExecutorService steps = Executors.newCachedThreadPool(r -> {
        Thread t = new Thread(r);
        t.setDaemon(true);
        return t;
    });

    static void step(String what, Step step) {
        Future<?> f = steps.submit(() -> { step.run(); return null; });
        try {
            f.get(12, TimeUnit.SECONDS);
        } catch (Exception e) {
            f.cancel(true);
            Throwable t = e instanceof ExecutionException ? e.getCause() : e;
            if (System.getenv("CAPTURE_TALK") != null) System.out.println("  " + what + ": " + t);
        }
    }

    static Map<String, Object> base(int port, Object... more) {
        Map<String, Object> m = new HashMap<>();
        m.put("bootstrap.servers", "127.0.0.1:" + port);
        m.put("request.timeout.ms", 4000);
        m.put("default.api.timeout.ms", 5000);
        m.put("client.id", "capture");
        for (int i = 0; i < more.length; i += 2) m.put((String) more[i], more[i + 1]);
        return m;
    }

    static void java(int port) {
        String topic = "t" + lower;
        step("admin", () -> {
            try (Admin admin = Admin.create(base(port))) { before(admin, topic); }
        });
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            step("produce " + codec, () -> produce(port, topic, codec));
        }
        step("transaction", () -> transaction(port, topic, true));
        step("transaction", () -> transaction(port, topic, false));
        for (String protocol : List.of("classic", "consumer")) {
            step("consume " + protocol, () -> consume(port, topic, protocol));
        }
        step("share", () -> share(port, topic));
        try (Admin admin = Admin.create(base(port))) { after(admin, topic); }
    }

    static void produce(int port, String topic, String codec) throws Exception {
        var config = base(port, "compression.type", codec, "linger.ms", 20, "max.block.ms", 5000,
            "enable.idempotence", !codec.equals("gzip"), "acks", codec.equals("snappy") ? "all" : codec.equals("gzip") ? "1" : "all");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 30; i++) {
                var record = new ProducerRecord<>(topic, 0, (Long) null, "key" + i % 4, "value " + i);
                if (i % 3 == 0) record.headers().add("h", "x".getBytes());
                producer.send(record);
            }
            producer.flush();
        }
    }

    static void transaction(int port, String topic, boolean commit) throws Exception {
        var config = base(port, "transactional.id", "txn", "max.block.ms", 8000);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, "k", "in transaction")).get();
            producer.sendOffsetsToTransaction(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(3)),
                new ConsumerGroupMetadata("txn-group", -1, "", Optional.empty()));
            if (commit) producer.commitTransaction(); else producer.abortTransaction();
        }
    }

    static void consume(int port, String topic, String protocol) throws Exception {
        var config = base(port, "group.id", protocol + lower, "group.protocol", protocol, "auto.offset.reset", "earliest",
            "isolation.level", "read_committed", "client.rack", "r1");
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            for (int i = 0; i < 12; i++) consumer.poll(Duration.ofMillis(300));
            consumer.commitSync();
            consumer.committed(Set.of(new TopicPartition(topic, 0)));
            consumer.offsetsForTimes(Map.of(new TopicPartition(topic, 0), 1L));
            consumer.endOffsets(Set.of(new TopicPartition(topic, 0)));
        }
        config.remove("group.id");
        config.put("group.protocol", "classic");
        config.put("enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            TopicPartition p = new TopicPartition(topic, 0);
            consumer.assign(List.of(p));
            consumer.seek(p, new OffsetAndMetadata(2, Optional.of(0), ""));
            consumer.poll(Duration.ofMillis(500));
        }
    }

    static void share(int port, String topic) throws Exception {
        var config = base(port, "group.id", "share" + lower);
        try (var consumer = new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            for (int i = 0; i < 4; i++) consumer.poll(Duration.ofMillis(400));
            consumer.commitSync();
        }
    }

    static void before(Admin admin, String topic) throws Exception {
        step("create", () -> admin.createTopics(List.of(
            new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "3600000")),
            new NewTopic(topic + "-placed", Map.of(0, List.of(1))))).all().get());
        step("partitions", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get());
    }

    static void after(Admin admin, String topic) {
        TopicPartition p = new TopicPartition(topic, 0);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AclBinding acl = new AclBinding(new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL),
            new AccessControlEntry("User:a", "*", AclOperation.READ, AclPermissionType.ALLOW));
        step("topics", () -> admin.listTopics().names().get());
        step("describe", () -> admin.describeTopics(List.of(topic)).allTopicNames().get());
        step("cluster", () -> admin.describeCluster().clusterId().get());
        step("configs", () -> admin.describeConfigs(List.of(resource, new ConfigResource(ConfigResource.Type.BROKER, "1")),
            new DescribeConfigsOptions().includeDocumentation(true).includeSynonyms(true)).all().get());
        step("alter configs", () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET)))).all().get());
        step("config resources", () -> admin.listConfigResources().all().get());
        step("offsets", () -> admin.listOffsets(Map.of(p, OffsetSpec.maxTimestamp())).all().get());
        step("tiers", () -> admin.listOffsets(Map.of(p, OffsetSpec.latestTiered())).all().get());
        step("records", () -> admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(2))).all().get());
        step("dirs", () -> admin.describeLogDirs(List.of(1)).allDescriptions().get());
        step("move dirs", () -> admin.alterReplicaLogDirs(Map.of(new TopicPartitionReplica(topic, 0, 1), "/nowhere")).all().get());
        step("groups", () -> admin.listGroups().all().get());
        step("classic", () -> admin.describeConsumerGroups(List.of("classic" + lower)).all().get());
        step("consumer", () -> admin.describeConsumerGroups(List.of("consumer" + lower)).all().get());
        step("share groups", () -> admin.describeShareGroups(List.of("share" + lower)).all().get());
        step("share offsets", () -> admin.listShareGroupOffsets(Map.of("share" + lower, new ListShareGroupOffsetsSpec())).all().get());
        step("streams groups", () -> admin.describeStreamsGroups(List.of("streams")).all().get());
        step("group offsets", () -> admin.listConsumerGroupOffsets("classic" + lower).all().get());
        step("set offsets", () -> admin.alterConsumerGroupOffsets("other" + lower, Map.of(p, new OffsetAndMetadata(1))).all().get());
        step("drop offsets", () -> admin.deleteConsumerGroupOffsets("other" + lower, Set.of(p)).all().get());
        step("drop group", () -> admin.deleteConsumerGroups(List.of("other" + lower)).all().get());
        step("remove members", () -> admin.removeMembersFromConsumerGroup("classic" + lower,
            new RemoveMembersFromConsumerGroupOptions()).all().get());
        step("producers", () -> admin.describeProducers(List.of(p)).all().get());
        step("transactions", () -> admin.listTransactions().all().get());
        step("transaction", () -> admin.describeTransactions(List.of("txn")).all().get());
        step("abort", () -> admin.abortTransaction(new AbortTransactionSpec(p, 9999, (short) 0, 0)).all().get());
        step("fence", () -> admin.fenceProducers(List.of("txn")).all().get());
        step("features", () -> admin.describeFeatures().featureMetadata().get());
        step("update features", () -> admin.updateFeatures(Map.of("share.version",
            new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions().validateOnly(true)).all().get());
        step("quorum", () -> admin.describeMetadataQuorum().quorumInfo().get());
        step("quotas", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get());
        step("set quotas", () -> admin.alterClientQuotas(List.of(new ClientQuotaAlteration(
            new ClientQuotaEntity(Map.of("user", "u")), List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1e9))))).all().get());
        step("scram", () -> admin.describeUserScramCredentials().all().get());
        step("set scram", () -> admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("u",
            new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret"))).all().get());
        step("elect", () -> admin.electLeaders(ElectionType.PREFERRED, Set.of(p)).all().get());
        step("reassign", () -> admin.alterPartitionReassignments(Map.of(p, Optional.of(new NewPartitionReassignment(List.of(1))))).all().get());
        step("reassignments", () -> admin.listPartitionReassignments().reassignments().get());
        step("acls", () -> admin.describeAcls(AclBindingFilter.ANY).values().get());
        step("set acls", () -> admin.createAcls(List.of(acl)).all().get());
        step("drop acls", () -> admin.deleteAcls(List.of(acl.toFilter())).all().get());
        step("tokens", () -> admin.describeDelegationToken().delegationTokens().get());
        step("new token", () -> admin.createDelegationToken().delegationToken().get());
        step("renew token", () -> admin.renewDelegationToken(new byte[] {1}).expiryTimestamp().get());
        step("expire token", () -> admin.expireDelegationToken(new byte[] {1}).expiryTimestamp().get());
        step("voter", () -> admin.addRaftVoter(9, Uuid.ONE_UUID, Set.of(new RaftVoterEndpoint("CONTROLLER", "127.0.0.1", 1))).all().get());
        step("unvoter", () -> admin.removeRaftVoter(9, Uuid.ONE_UUID).all().get());
        step("unregister", () -> admin.unregisterBroker(77).all().get());
        step("instance", () -> admin.clientInstanceId(Duration.ofSeconds(1)));
        step("delete", () -> admin.deleteTopics(List.of(topic + "-placed")).all().get());
        step("delete by id", () -> admin.deleteTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).all().get());
    }
}
