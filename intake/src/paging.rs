//! Pages of lists: sizes, tokens, and the end of a page.
//!
//! A token is a fingerprint of the list and the store's cursor, in hex. A token that is used with
//! another filter is refused: its cursor would silently skip or repeat items.

use prost::Message;
use shared::ids::sha256_hex;
use shared::store::{Page, PageRequest};

use crate::error::request_error::RequestError;
use crate::error::violations::Violations;

/// The page size for a `page_size` of 0.
const DEFAULT_SIZE: usize = 100;
/// The largest page size; a larger `page_size` counts as this.
const MAX_SIZE: usize = 1_000;
/// Maximum size of a page, in bytes on the wire. A page ends before the item that would exceed it.
const MAX_BYTES: usize = 1024 * 1024;
/// Size of the first read of a page of large items, which takes several reads.
const FIRST_CHUNK: usize = 32;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageQuery {
    size: usize,
    after: Option<String>,
    fingerprint: String,
    first_chunk: usize,
}

impl PageQuery {
    /// Parses `page_size` and `page_token`. `list` identifies the list and its filter; a token is
    /// valid only for its own `list`.
    ///
    /// # Errors
    /// Names `page_size` if it is negative, and `page_token` if it is not a token of this list.
    pub(crate) fn parse(
        page_size: i32,
        page_token: &str,
        list: &str,
    ) -> Result<Self, RequestError> {
        let fingerprint = sha256_hex(list.as_bytes())[..16].to_owned();
        let mut violations = Violations::default();
        let size = violations.check(
            "page_size",
            usize::try_from(page_size)
                .map_err(|_| format!("{page_size} is negative; 0 means {DEFAULT_SIZE}")),
        );
        let after = violations.check("page_token", cursor(page_token, &fingerprint));
        let (Some(size), Some(after)) = (size, after) else {
            return Err(violations.into());
        };
        let size = if size == 0 {
            DEFAULT_SIZE
        } else {
            size.min(MAX_SIZE)
        };
        Ok(Self {
            size,
            after,
            fingerprint,
            first_chunk: FIRST_CHUNK,
        })
    }

    /// Returns the same page for a list of small items, which takes one read.
    pub(crate) fn of_small_items(self) -> Self {
        Self {
            first_chunk: self.size,
            ..self
        }
    }

    /// Returns the token of the page after `cursor`; empty at the end of the list.
    fn token(&self, cursor: Option<String>) -> String {
        cursor.map_or_else(String::new, |cursor| {
            hex::encode(format!("{}:{cursor}", self.fingerprint))
        })
    }

    /// Reads the page through `fetch`. Returns its items in wire form and the token of the next
    /// page.
    ///
    /// The page ends when it is full, at the end of the list, or at 1 MiB. A larger item is a page
    /// of its own.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(crate) async fn collect<T, M, Fut>(
        &self,
        to_wire: impl Fn(T) -> M,
        fetch: impl Fn(PageRequest) -> Fut,
    ) -> Result<(Vec<M>, String), RequestError>
    where
        M: Message,
        Fut: Future<Output = Result<Page<T>, RequestError>>,
    {
        let mut items: Vec<M> = Vec::new();
        let mut bytes = 0;
        let mut after = self.after.clone();
        let mut chunk = self.first_chunk;
        let mut cut = false;
        loop {
            let request = PageRequest {
                size: chunk.min(self.size - items.len()),
                after: after.clone(),
            };
            let asked = request.size;
            let page = fetch(request).await?;
            // The store has reached its limit per call. Its items are then a complete, short page.
            let looked_enough = page.items.len() < asked;
            let read: Vec<M> = page.items.into_iter().map(&to_wire).collect();
            let (fits, fitting_bytes) = fitting(&read, bytes);
            if fits < read.len() {
                if fits == 0 {
                    return Ok((items, self.token(after)));
                }
                // A cursor exists only for a whole read. So the items that fit are read again.
                chunk = fits;
                cut = true;
                continue;
            }
            items.extend(read);
            bytes = fitting_bytes;
            after = page.next;
            if cut || looked_enough || after.is_none() || items.len() >= self.size {
                return Ok((items, self.token(after)));
            }
            if bytes < MAX_BYTES / 8 {
                chunk *= 2;
            }
        }
    }
}

/// Returns how many items of `read` fit a page that already has `bytes`, and the new size. The
/// first item of a page always fits.
fn fitting<M: Message>(read: &[M], bytes: usize) -> (usize, usize) {
    let mut total = bytes;
    for (index, item) in read.iter().enumerate() {
        // Tag and length of an item take at most 5 bytes below 256 MiB.
        let with_item = total + item.encoded_len() + 5;
        if with_item > MAX_BYTES && total > 0 {
            return (index, total);
        }
        total = with_item;
    }
    (read.len(), total)
}

fn cursor(token: &str, fingerprint: &str) -> Result<Option<String>, &'static str> {
    const NOT_OURS: &str =
        "is not a page token of this server; use next_page_token unchanged, or leave it empty";
    if token.is_empty() {
        return Ok(None);
    }
    let text = hex::decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(NOT_OURS)?;
    match text.split_once(':') {
        Some((given, cursor)) if given == fingerprint => Ok(Some(cursor.to_owned())),
        Some((given, _)) if given.len() == fingerprint.len() => {
            Err("belongs to a list with another filter; start again without a token")
        }
        _ => Err(NOT_OURS),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::v1::Verdict;

    use super::*;

    fn query(size: i32, token: &str) -> Result<PageQuery, RequestError> {
        PageQuery::parse(size, token, "list a")
    }

    fn fields(error: RequestError) -> Vec<String> {
        match error {
            RequestError::Invalid(violations) => violations.into_iter().map(|v| v.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sizes() {
        for (given, size) in [
            (0, 100),
            (1, 1),
            (1_000, 1_000),
            (1_001, 1_000),
            (i32::MAX, 1_000),
        ] {
            assert_eq!(query(given, "").unwrap().size, size);
        }
        assert_eq!(
            fields(query(-1, "zz").unwrap_err()),
            ["page_size", "page_token"]
        );
    }

    #[test]
    fn tokens_come_back_only_to_their_list() {
        let token = query(0, "").unwrap().token(Some("c:1".into()));
        assert_eq!(query(7, &token).unwrap().after.as_deref(), Some("c:1"));
        assert_eq!(
            fields(PageQuery::parse(0, &token, "list b").unwrap_err()),
            ["page_token"]
        );
        for bad in ["x", "00", "ff", &token[2..], "6162"] {
            assert_eq!(fields(query(0, bad).unwrap_err()), ["page_token"], "{bad}");
        }
        assert_eq!(query(0, "").unwrap().token(None), "");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_token_brings_back_its_cursor_whatever_that_is(cursor in "\\PC{0,60}") {
            let token = query(0, "").unwrap().token(Some(cursor.clone()));
            prop_assert_eq!(query(0, &token).unwrap().after, Some(cursor));
        }

        #[test]
        fn nobody_guesses_a_token(size in any::<i32>(), token in prop_oneof!["\\PC{0,60}", "[0-9a-f]{0,80}"]) {
            let named = query(size, &token).map_or_else(fields, |_| Vec::new());
            prop_assert_eq!(named.contains(&"page_size".to_owned()), size < 0);
            prop_assert_eq!(named.contains(&"page_token".to_owned()), !token.is_empty());
        }
    }

    /// Reads a list of items with these sizes page by page. Returns the number of items of each
    /// page.
    async fn walk(size: i32, bytes: &[usize]) -> Vec<usize> {
        let fetch = |request: PageRequest| async move {
            let from: usize = request.after.map_or(0, |cursor| cursor.parse().unwrap());
            let to = (from + request.size).min(bytes.len());
            let next = (to < bytes.len()).then(|| to.to_string());
            Ok(Page {
                items: bytes[from..to].to_vec(),
                next,
            })
        };
        let to_wire = |bytes: usize| Verdict {
            detail: "x".repeat(bytes),
            ..Verdict::default()
        };
        let (mut pages, mut token, mut seen) = (Vec::new(), String::new(), Vec::new());
        loop {
            let (items, next) = query(size, &token)
                .unwrap()
                .collect(to_wire, fetch)
                .await
                .unwrap();
            assert!(
                items.len() == 1
                    || items.iter().map(Message::encoded_len).sum::<usize>() <= MAX_BYTES
            );
            pages.push(items.len());
            seen.extend(items.into_iter().map(|item| item.detail.len()));
            if next.is_empty() {
                assert_eq!(seen, bytes);
                return pages;
            }
            token = next;
        }
    }

    #[tokio::test]
    async fn pages_end_by_number_and_by_bytes() {
        assert_eq!(walk(0, &[]).await, [0]);
        assert_eq!(walk(0, &[10; 250]).await, [100, 100, 50]);
        assert_eq!(walk(1_000, &[10; 1_500]).await, [1_000, 500]);
        assert_eq!(walk(0, &[300 * 1024; 7]).await, [3, 3, 1]);
        let mut mixed = vec![1_000; 40];
        mixed.extend([2 * MAX_BYTES, 5, 5]);
        assert_eq!(walk(0, &mixed).await, [40, 1, 2]);
    }
}
