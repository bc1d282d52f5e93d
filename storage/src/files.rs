//! The small files beside the segments, in Kafka's formats. Pure: bytes in, values out, and back.
