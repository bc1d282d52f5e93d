//! Topic names: which are legal, and which would collide in metric names. Kafka's rules and words.

use crate::error::{ErrorCode, Refusal};
use crate::metadata::image::Image;

/// Characters of the longest name: with a partition's number and a suffix it is still a file name.
pub const NAME_CHARS_MAX: usize = 249;
/// The metadata log's topic, which nobody creates.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether the name is legal.
///
/// # Errors
/// INVALID_TOPIC_EXCEPTION and what is wrong with it.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let wrong = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if matches!(name, "." | "..") {
        "'.' or '..' is not allowed".to_owned()
    } else if name.chars().count() > NAME_CHARS_MAX {
        format!("the length of '{name}' is longer than the max allowed length {NAME_CHARS_MAX}")
    } else if !name.chars().all(legal) {
        format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        )
    } else {
        return Ok(());
    };
    let message = format!("Topic name is invalid: {wrong}");
    Err(Refusal::new(ErrorCode::InvalidTopicException, message))
}

/// Names that differ only in `.` and `_` are one metric.
pub(super) fn check_collision(image: &Image, name: &str) -> Result<(), Refusal> {
    if !name.contains(['.', '_']) {
        return Ok(());
    }
    // Such names agree up to their first `.` or `_`, so only that stretch of names is looked at.
    let unified = name.replace('.', "_");
    let prefix = unified.split('_').next().unwrap_or("");
    let near = image
        .topics
        .from_name(prefix)
        .take_while(|topic| topic.name.starts_with(prefix));
    let mut others = near.filter(|topic| topic.name.replace('.', "_") == unified);
    match others.next() {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "Topic '{name}' collides with existing topic: {}",
                other.name
            );
            Err(Refusal::new(ErrorCode::InvalidTopicException, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_and_illegal_names() {
        for name in ["a", "A.b_c-9", "__consumer_offsets", &"x".repeat(249)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let illegal = ["", ".", "..", "a/b", "a b", "ä", "a\0", &"x".repeat(250)];
        for name in illegal {
            let refusal = check_name(name).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidTopicException, "{name}");
        }
    }
}
