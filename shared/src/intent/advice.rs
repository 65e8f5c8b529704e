//! The advice in refusals of intents.

/// The list of supported sentences in a refusal.
pub(super) const UNDERSTOOD: &str = "set <pointer> to <value>, add <value> to <pointer>, remove <pointer>, \
     rename agent <a> to <b>, tag <name>, untag <name>, describe as <text>, set prompt of agent <a> to <text>, \
     set model of agent <a> to <text>, several joined by ';' or newlines, or an RFC 6902 array, or \
     {ops, bump, rationale} as JSON";

/// The longest word that is compared with the verbs, in characters.
const MAX_WORD: usize = 16;

/// The remedy for ambiguous texts in refusals.
pub(super) const HOW_TO_QUOTE: &str =
    "a text stands in double quotes as a JSON string, or in a block: <<END, its lines, END";

/// Returns the question for the sentence that was probably meant by its first word: a verb with a
/// typo, or a verb whose sentence is incomplete.
pub(super) fn near_form(word: &str) -> Option<String> {
    let word = word.to_lowercase();
    let allowed = match word.chars().count() {
        ..=2 => return None,
        3..=4 => 1,
        _ => 2,
    };
    let forms = UNDERSTOOD.split(", ");
    let form = forms
        .filter_map(|form| Some((distance(form.split(' ').next()?, &word), form)))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance);
    form.map(|(_, form)| format!("did you mean `{form}`?"))
}

/// Returns the number of characters to insert, delete or replace to get from one word to another
/// (Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(MAX_WORD).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(MAX_WORD).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_in_a_verb_is_named_and_another_word_is_not() {
        for (word, form) in [
            ("sett", "set <pointer>"),
            ("tagg", "tag <name>"),
            ("remvoe", "remove <pointer>"),
            ("renam", "rename agent"),
            ("rename", "rename agent"),
            ("descrbe", "describe as"),
        ] {
            let hint = near_form(word).unwrap_or_default();
            assert!(hint.contains(form), "{word}: {hint}");
        }
        for word in ["", "a", "to", "please", "nobody", "make"] {
            assert_eq!(near_form(word), None, "{word}");
        }
        let long = "s".repeat(60_000);
        assert_eq!(near_form(&long), None);
    }
}
