//! The known name nearest to a mistyped one. Pure.

/// The nearest of `names`, if it is near enough to be what was meant: at most a third of the letters
/// differ. Further away a guess misleads more than it helps.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong: Vec<char> = wrong.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
    let bound = wrong.len() / 3 + 1;
    names
        .map(|name| (distance(&wrong, name), name))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, name)| name)
}

/// Longer names are cut before they are compared: the comparison takes quadratic time.
const NAME_CHARS_MAX: usize = 100;

/// Letters to insert, delete or replace to make one from the other.
fn distance(left: &[char], right: &str) -> usize {
    let mut row: Vec<usize> = (0..=left.len()).collect();
    for (index, letter) in right.chars().take(NAME_CHARS_MAX).enumerate() {
        let mut diagonal = index;
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
        for at in 1..row.len() {
            let changed = diagonal + usize::from(left[at - 1] != letter);
            diagonal = row[at];
            row[at] = changed.min(row[at] + 1).min(row[at - 1] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_likely_name_and_leaves_far_ones() {
        let names = ["shards.count", "shards.cpus", "node.id"];
        let check = |wrong, right| assert_eq!(nearest(wrong, names.into_iter()), right);
        check("shards.cuont", Some("shards.count"));
        check("Node.ID", Some("node.id"));
        check("completely.other", None);
        check("", None);
        check(&"x".repeat(10_000), None);
    }
}
