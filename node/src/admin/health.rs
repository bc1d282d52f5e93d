//! Whether the node works and whether it serves, in words.

use thalweg_storage::store::Health;

/// State of the node: the worst of its shards. Red only for what a restart must mend.
#[must_use]
pub fn verdict(shards: &[(u16, Health)]) -> (u16, String) {
    let mut status = 200;
    let mut text = String::new();
    for (shard, health) in shards {
        let line = match health {
            Health::Ok => continue,
            // It recovers by itself, and reads go on: not a reason to restart the process.
            Health::Full => format!("shard {shard}: the disk is full, produce is refused\n"),
            Health::Poisoned(reason) => {
                status = 503;
                format!("shard {shard}: the journal failed, restart the node: {reason}\n")
            }
        };
        text.push_str(&line);
    }
    if text.is_empty() {
        text.push_str("ok\n");
    }
    (status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_and_a_failed_journal_is_red() {
        assert_eq!(verdict(&[(0, Health::Ok)]), (200, "ok\n".to_owned()));
        let (status, text) = verdict(&[(0, Health::Ok), (1, Health::Full)]);
        assert_eq!(status, 200);
        assert!(text.contains("shard 1: the disk is full"));
        assert_eq!(verdict(&[(0, Health::Poisoned("x".to_owned()))]).0, 503);
    }
}
