// Says of each record batch on standard input (hex, one a line) what Apache Kafka makes of it when
// a client produces it to a topic that keeps the producer's time.
//
// Run: java -cp 'KAFKA_LIBS/*' Judge.java NOW
//
// Answers one line each: Kafka's error code (0 if it is taken), the number of records that a
// consumer then reads, the largest time, and whether Kafka had to write the batch anew.

import java.io.*;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.CorruptRecordException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.*;
import org.apache.kafka.storage.internals.log.*;

public class Judge {
    static long now;

    public static void main(String[] args) throws IOException {
        now = Long.parseLong(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true);
        for (String line; (line = in.readLine()) != null; ) {
            String answer;
            try {
                answer = "0 " + take(ByteBuffer.wrap(HexFormat.of().parseHex(line)));
            } catch (RecordValidationException e) {
                answer = Errors.forException(e.invalidException()).code() + " 0 0 false";
            } catch (Throwable e) {
                answer = Errors.forException(e).code() + " 0 0 false";
            }
            out.println(answer);
        }
    }

    /** The steps of a produce request, in order. */
    static String take(ByteBuffer bytes) {
        MemoryRecords records = MemoryRecords.readableRecords(bytes);
        ProduceRequest.validateRecords((short) 13, records);
        MutableRecordBatch batch = records.batches().iterator().next();
        CompressionType codec = batch.compressionType();
        if (batch.baseOffset() != 0) throw new InvalidRecordException("base offset");
        if (!batch.isValid()) throw new CorruptRecordException("crc");
        LogValidator validator = new LogValidator(records, new TopicPartition("t", 0), time(), codec, Compression.of(codec).build(),
            false, (byte) 2, TimestampType.CREATE_TIME, Long.MAX_VALUE, 3_600_000L, 0, AppendOrigin.CLIENT);
        LogValidator.ValidationResult result = validator.validateMessagesAndAssignOffsets(
            PrimitiveRef.ofLong(1000), new Quiet(), BufferSupplier.NO_CACHING);
        int count = 0;
        for (MutableRecordBatch stored : result.validatedRecords().batches()) {
            try (CloseableIterator<Record> iterator = stored.streamingIterator(BufferSupplier.NO_CACHING)) {
                while (iterator.hasNext()) {
                    Record record = iterator.next();
                    record.headers();
                    count++;
                }
            }
        }
        return count + " " + result.maxTimestampMs() + " " + result.messageSizeMaybeChanged();
    }

    static class Quiet implements LogValidator.MetricsRecorder {
        public void recordInvalidMagic() { }
        public void recordInvalidOffset() { }
        public void recordInvalidSequence() { }
        public void recordInvalidChecksums() { }
        public void recordNoKeyCompactedTopic() { }
    }

    static Time time() {
        return new SystemClock();
    }

    static class SystemClock implements Time {
        public long milliseconds() { return now; }
        public long hiResClockMs() { return now; }
        public long nanoseconds() { return now * 1_000_000; }
        public void sleep(long ms) { }
        public void waitObject(Object o, java.util.function.Supplier<Boolean> c, long d) { }
        public Timer timer(long ms) { throw new UnsupportedOperationException(); }
        public Timer timer(java.time.Duration d) { throw new UnsupportedOperationException(); }
    }
}
