// Writes record batches as Apache Kafka's own classes build them, one file each.
// Run: java -cp 'KAFKA_LIBS/*' MakeBatches.java OUT_DIR
// The bytes under tests/golden/batches were made by this with the 4.3.0 jars.

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.KRaftVersionRecord;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotFooterRecord;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.message.VotersRecord;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.TimestampType;

public class MakeBatches {
    static final long TIME = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        Path out = Path.of(args[0]);
        for (CompressionType codec : CompressionType.values()) {
            write(out, "data-" + codec.name, data(codec, 100));
        }
        write(out, "large-lz4", data(CompressionType.LZ4, 2000));
        write(out, "large-snappy", data(CompressionType.SNAPPY, 2000));
        write(out, "large-zstd", data(CompressionType.ZSTD, 2000));
        write(out, "large-gzip", data(CompressionType.GZIP, 2000));
        write(out, "transactional", transactional());
        write(out, "append-time", appendTime());
        write(out, "marker-commit", marker(ControlRecordType.COMMIT));
        write(out, "marker-abort", marker(ControlRecordType.ABORT));
        write(out, "leader-change", leaderChange());
        write(out, "snapshot-head", snapshotHead());
    }

    static MemoryRecordsBuilder builder(CompressionType codec, TimestampType type, long id, boolean txn, boolean control) {
        return new MemoryRecordsBuilder(ByteBuffer.allocate(1 << 20), RecordBatch.MAGIC_VALUE_V2, Compression.of(codec).build(),
            type, 0L, TIME, id, (short) (id < 0 ? -1 : 3), id < 0 || control ? -1 : 7, txn, control, -1, 1 << 20);
    }

    static MemoryRecords data(CompressionType codec, int count) {
        MemoryRecordsBuilder builder = builder(codec, TimestampType.CREATE_TIME, -1, false, false);
        for (int i = 0; i < count; i++) {
            // Times go back and forth: the largest is not the last.
            long time = TIME + (i * 37) % 101;
            byte[] key = i % 3 == 0 ? null : ("key-" + i).getBytes();
            byte[] value = i % 7 == 0 ? null : ("value " + i + " ".repeat(i % 50) + "end").getBytes();
            Header[] headers = i % 5 == 0
                ? new Header[] {new RecordHeader("h" + i, new byte[] {1, 2, 3}), new RecordHeader("null", (byte[]) null)}
                : new Header[0];
            builder.append(time, key, value, headers);
        }
        return builder.build();
    }

    static MemoryRecords transactional() {
        MemoryRecordsBuilder builder = builder(CompressionType.NONE, TimestampType.CREATE_TIME, 4711, true, false);
        builder.append(TIME, "k".getBytes(), "v".getBytes());
        builder.append(TIME + 1, "k".getBytes(), "w".getBytes());
        return builder.build();
    }

    static MemoryRecords appendTime() {
        MemoryRecordsBuilder builder = builder(CompressionType.NONE, TimestampType.LOG_APPEND_TIME, -1, false, false);
        builder.append(TIME - 5, "k".getBytes(), "v".getBytes());
        return builder.build();
    }

    static MemoryRecords marker(ControlRecordType type) {
        return MemoryRecords.withEndTransactionMarker(0L, TIME, -1, 4711L, (short) 3, new EndTransactionMarker(type, 9));
    }

    static MemoryRecords leaderChange() {
        LeaderChangeMessage message = new LeaderChangeMessage().setVersion((short) 0).setLeaderId(1)
            .setVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1)))
            .setGrantingVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1)));
        return MemoryRecords.withLeaderChangeMessage(0L, TIME, 5, ByteBuffer.allocate(1024), message);
    }

    static MemoryRecords snapshotHead() {
        MemoryRecordsBuilder builder = builder(CompressionType.NONE, TimestampType.CREATE_TIME, -1, false, true);
        builder.appendSnapshotHeaderMessage(TIME, new SnapshotHeaderRecord().setVersion((short) 0).setLastContainedLogTimestamp(TIME));
        builder.appendKRaftVersionMessage(TIME, new KRaftVersionRecord().setVersion((short) 0).setKRaftVersion((short) 1));
        builder.appendVotersMessage(TIME, new VotersRecord().setVersion((short) 0));
        builder.appendSnapshotFooterMessage(TIME, new SnapshotFooterRecord().setVersion((short) 0));
        return builder.build();
    }

    static void write(Path out, String name, MemoryRecords records) throws Exception {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(out.resolve("java-" + name + ".bin"), bytes);
    }
}
