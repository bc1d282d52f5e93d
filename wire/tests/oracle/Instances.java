// Writes random instances of every message of Apache Kafka, made by Kafka's own converters.
//
// Run: java -cp 'KAFKA_LIBS/*' Instances.java KAFKA_LIBS SEED COUNT
//
// One line an instance: name, version, bytes in hex, the same with an unknown tagged field in hex
// (or -), and the JSON that Kafka makes of it. COUNT instances for each message and version; the
// first has every array and nullable field filled, the second has none of them.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.*;
import java.io.*;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.jar.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.*;

public class Instances {
    static Random random;
    /** Null: random. Else every choice between something and nothing goes this way. */
    static Boolean filled;

    public static void main(String[] args) throws Exception {
        long seed = Long.parseLong(args[1]);
        int count = Integer.parseInt(args[2]);
        PrintStream out = new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 20), false, StandardCharsets.UTF_8);
        for (String name : converters(new File(args[0]))) {
            Class<?> data = Class.forName(name.substring(0, name.length() - "JsonConverter".length()));
            Class<?> converter = Class.forName(name);
            Method read = converter.getMethod("read", JsonNode.class, short.class);
            Method write = converter.getMethod("write", data, short.class);
            short low = data.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
            short high = data.getField("HIGHEST_SUPPORTED_VERSION").getShort(null);
            Schema[] schemas = (Schema[]) data.getField("SCHEMAS").get(null);
            String simple = data.getSimpleName();
            for (short version = low; version <= high; version++) {
                for (int i = 0; i < count; i++) {
                    random = new Random(seed * 1_000_003 + name.hashCode() * 31L + version * 1009L + i);
                    filled = i == 0 ? Boolean.TRUE : i == 1 ? Boolean.FALSE : null;
                    Message message = read(read, struct(schemas[version], 0), version);
                    String bytes = bytes(message, version);
                    JsonNode json = (JsonNode) write.invoke(null, message, version);
                    out.println(simple + "\t" + version + "\t" + bytes + "\t" + tagged(message, version) + "\t" + json);
                }
            }
        }
        out.flush();
    }

    static List<String> converters(File folder) throws IOException {
        TreeSet<String> names = new TreeSet<>();
        for (File file : folder.listFiles((d, n) -> n.startsWith("kafka") && n.endsWith(".jar"))) {
            try (JarFile jar = new JarFile(file)) {
                jar.stream().map(JarEntry::getName)
                    .filter(n -> n.endsWith("JsonConverter.class") && !n.contains("$"))
                    .forEach(n -> names.add(n.substring(0, n.length() - 6).replace('/', '.')));
            }
        }
        return new ArrayList<>(names);
    }

    static String bytes(Message message, short version) {
        ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes.length == 0 ? "." : HexFormat.of().formatHex(bytes);
    }

    static String tagged(Message message, short version) {
        message.unknownTaggedFields().add(new RawTaggedField(9_000, new byte[] {1, 2, 3}));
        try {
            return bytes(message, version);
        } catch (RuntimeException rigid) {
            return "-";
        }
    }

    /** Reads JSON; where a name was not undone rightly, Kafka says which one it misses. */
    static Message read(Method read, JsonNode json, short version) throws Exception {
        while (true) {
            try {
                return (Message) read.invoke(null, json, version);
            } catch (InvocationTargetException e) {
                String[] parts = e.getCause().getMessage().split("'");
                if (parts.length < 3 || !rename(json, parts[1])) throw e;
            }
        }
    }

    static boolean rename(JsonNode node, String name) {
        boolean done = false;
        if (node instanceof ObjectNode object && !object.has(name)) {
            for (String key : names(object)) {
                if (key.equalsIgnoreCase(name)) {
                    object.set(name, object.remove(key));
                    done = true;
                }
            }
        }
        for (JsonNode below : node) done |= rename(below, name);
        return done;
    }

    static List<String> names(ObjectNode object) {
        List<String> names = new ArrayList<>();
        object.fieldNames().forEachRemaining(names::add);
        return names;
    }

    static boolean some(int oneIn) {
        return filled != null ? filled : random.nextInt(oneIn) != 0;
    }

    static ObjectNode struct(Schema schema, int depth) {
        ObjectNode node = new ObjectNode(JsonNodeFactory.instance);
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tags) {
                for (Field field : tags.fields().values()) {
                    if (some(2)) node.set(camel(field.name), value(field.type, depth + 1));
                }
            } else {
                node.set(camel(bound.def.name), value(bound.def.type, depth + 1));
            }
        }
        return node;
    }

    /** Undoes what Kafka's generator does to names: each capital letter became _ and the small one. */
    static String camel(String snake) {
        StringBuilder name = new StringBuilder();
        boolean up = false;
        for (char c : snake.toCharArray()) {
            if (c == '_') up = true;
            else {
                name.append(up ? Character.toUpperCase(c) : c);
                up = false;
            }
        }
        return name.toString();
    }

    static JsonNode value(Type type, int depth) {
        if (type.isNullable() && !some(4)) return NullNode.instance;
        if (type.isArray()) return array(type, depth);
        if (type instanceof Schema schema) return struct(schema, depth);
        switch (type.toString()) {
            case "BOOLEAN": return BooleanNode.valueOf(random.nextBoolean());
            case "INT8": return IntNode.valueOf((byte) integer());
            case "INT16": return IntNode.valueOf((short) integer());
            case "UINT16": return IntNode.valueOf((int) integer() & 0xffff);
            case "INT32": return IntNode.valueOf((int) integer());
            case "UINT32": return LongNode.valueOf(integer() & 0xffff_ffffL);
            case "INT64": return LongNode.valueOf(integer());
            case "FLOAT64": return DoubleNode.valueOf(random.nextGaussian() * 1e9);
            case "UUID": return TextNode.valueOf(new Uuid(random.nextLong(), random.nextLong()).toString());
            case "STRING": case "NULLABLE_STRING": case "COMPACT_STRING": case "COMPACT_NULLABLE_STRING":
                return TextNode.valueOf(text());
            case "BYTES": case "NULLABLE_BYTES": case "COMPACT_BYTES": case "COMPACT_NULLABLE_BYTES":
            case "RECORDS": case "COMPACT_RECORDS": case "NULLABLE_RECORDS": case "COMPACT_NULLABLE_RECORDS":
                byte[] bytes = new byte[length()];
                random.nextBytes(bytes);
                return BinaryNode.valueOf(bytes);
            default: throw new IllegalArgumentException("type " + type + " of " + type.getClass());
        }
    }

    static ArrayNode array(Type type, int depth) {
        ArrayNode node = new ArrayNode(JsonNodeFactory.instance);
        Type element = type.arrayElementType().get();
        boolean flat = !(element instanceof Schema) && !element.isArray();
        int length = filled != null ? (filled ? 2 : 0) : flat && random.nextInt(20) == 0 ? 130 : random.nextInt(depth > 5 ? 2 : 4);
        for (int i = 0; i < length; i++) node.add(value(element, depth));
        return node;
    }

    static long integer() {
        switch (random.nextInt(6)) {
            case 0: return 0;
            case 1: return -1;
            case 2: return random.nextInt(300);
            case 3: return Long.MAX_VALUE;
            default: return random.nextLong();
        }
    }

    static int length() {
        return filled == Boolean.FALSE ? 0 : random.nextInt(15) == 0 ? 100 + random.nextInt(200) : random.nextInt(12);
    }

    static String text() {
        StringBuilder text = new StringBuilder();
        String letters = "abcXYZ019._-\"\\ \n\u00e4\u20ac";
        for (int i = length(); i > 0; i--) {
            if (random.nextInt(40) == 0) text.appendCodePoint(0x1f600 + random.nextInt(20));
            else text.append(letters.charAt(random.nextInt(letters.length())));
        }
        return text.toString();
    }
}
