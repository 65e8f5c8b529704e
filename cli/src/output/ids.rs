//! The short forms of ids.
//!
//! Ids of issues are UUIDs of version 7 unless the caller chooses them. Their beginnings are times,
//! and equal for issues of the same minute. So the short form is the end of the id, which is
//! random. Every verb that takes an id accepts its end, too.

use std::collections::BTreeSet;

/// Least number of characters of a short form.
pub(crate) const MIN_CHARACTERS: usize = 8;
/// Number of characters of a UUID.
const UUID_CHARACTERS: usize = 36;

/// Returns the short forms of `ids`, in their order. A form is at least [`MIN_CHARACTERS`] long,
/// and the end of no other id. Ids that are not UUIDs are kept.
pub(crate) fn short_ids<'a>(ids: &[&'a str]) -> Vec<&'a str> {
    // Sorted by their reversed characters, an id has the most in common with its neighbours.
    let reversed = |id: &str| id.bytes().rev().collect::<Vec<u8>>();
    let all: BTreeSet<Vec<u8>> = ids.iter().map(|id| reversed(id)).collect();
    let all: Vec<Vec<u8>> = all.into_iter().collect();
    let common = |a: &[u8], b: &[u8]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    ids.iter()
        .map(|id| {
            if !is_uuid(id) {
                return *id;
            }
            let own = reversed(id);
            let place = all.binary_search(&own).unwrap_or_default();
            let before = place.checked_sub(1).and_then(|place| all.get(place));
            let neighbours = before.into_iter().chain(all.get(place + 1));
            let shared = neighbours.map(|other| common(&own, other)).max();
            let length = (shared.unwrap_or(0) + 1).max(MIN_CHARACTERS);
            let end = &id[id.len().saturating_sub(length)..];
            // A short form does not begin with a hyphen, which would look like an option.
            match end.strip_prefix('-') {
                Some(_) => &id[id.len().saturating_sub(length + 1)..],
                None => end,
            }
        })
        .collect()
}

fn is_uuid(id: &str) -> bool {
    id.len() == UUID_CHARACTERS
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_form_is_the_end_of_one_id_only() {
        let one = "01936f3a-9f70-7c3e-8a1b-1111abcd0123";
        let two = "01936f3a-9f71-7c3e-8a1b-2222abcd0123";
        let far = "01936f3a-9f72-7c3e-8a1b-0000deadbeef";
        assert_eq!(
            short_ids(&[one, far, two, "mine", one]),
            ["1abcd0123", "deadbeef", "2abcd0123", "mine", "1abcd0123"]
        );
        let near = "01936f3a-9f72-7c3e-8a1c-0000deadbeef";
        assert_eq!(
            short_ids(&[far, near]),
            ["b-0000deadbeef", "c-0000deadbeef"]
        );
        assert_eq!(short_ids(&[far])[0], "deadbeef");
        // A hyphen at the beginning is avoided.
        let other = "01936f3a-9f72-7c3e-8a1b-1000deadbeef";
        let same_end = ["01936f3a-9f72-7c3e-8a1b-0000deadbeef", other];
        assert_eq!(short_ids(&same_end), ["0000deadbeef", "1000deadbeef"]);
    }

    #[test]
    fn only_uuids_are_shortened() {
        assert_eq!(
            short_ids(&["a-name-of-thirty-six-characters-long"])[0],
            "a-name-of-thirty-six-characters-long"
        );
        assert_eq!(short_ids(&[""])[0], "");
    }
}
