import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.DynamicConfig;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * Prints what config/facts/kafka-4.3.0.tsv holds, from Apache Kafka's own jars:
 *   javac -cp 'JARS/*' KafkaKeys.java && java -cp 'JARS/*:.' KafkaKeys > kafka-4.3.0.tsv
 * Columns: scope (broker, topic), name, type, default (- = null, ! = required), bounds as Kafka words them,
 * mode (dynamic, static), and for a topic key the broker keys its default comes from.
 */
public class KafkaKeys {
    public static void main(String[] args) {
        TreeMap<String, ConfigDef.ConfigKey> broker = new TreeMap<>(kafka.server.KafkaConfig.configDef().configKeys());
        DynamicConfig.Broker.configKeys().forEach(broker::putIfAbsent);
        for (ConfigDef.ConfigKey key : broker.values()) {
            print("broker", key, DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS, "");
        }
        for (ConfigDef.ConfigKey key : new TreeMap<>(LogConfig.configDefCopy().configKeys()).values()) {
            StringBuilder synonyms = new StringBuilder();
            var list = ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.get(key.name);
            if (list != null) {
                for (var synonym : list) {
                    synonyms.append(synonyms.length() == 0 ? "" : ",").append(synonym.name());
                }
            }
            print("topic", key, Set.of(key.name), synonyms.toString());
        }
    }

    static void print(String scope, ConfigDef.ConfigKey key, Set<String> dynamic, String synonyms) {
        if (key.internalConfig) {
            return;
        }
        String value = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE ? "!"
            : key.defaultValue == null ? "-"
            : ConfigDef.convertToString(key.defaultValue, key.type);
        String bounds = key.validator == null ? "" : key.validator.toString();
        System.out.println(String.join("\t", scope, key.name, key.type.toString().toLowerCase(), value, bounds,
            dynamic.contains(key.name) ? "dynamic" : "static", synonyms));
    }
}
