//! JSON Pointer (RFC 6901).

use std::borrow::Cow;

use thiserror::Error;

use crate::blueprint::doc::Doc;

/// An invalid JSON Pointer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPointer {
    /// Neither empty nor with a leading slash.
    #[error("a pointer is empty or begins with /")]
    NoSlash,
    /// A tilde without a following 0 or 1.
    #[error("a ~ in a pointer is written ~0, a / inside a name ~1")]
    Escape,
}

/// A parsed pointer: the unescaped tokens from the root; empty for the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer<'a> {
    tokens: Vec<Cow<'a, str>>,
}

impl<'a> Pointer<'a> {
    /// Parses `text` (RFC 6901 sections 3 and 4).
    ///
    /// # Errors
    /// [`InvalidPointer`] if `text` is not a valid pointer.
    pub fn parse(text: &'a str) -> Result<Self, InvalidPointer> {
        let Some(rest) = text.strip_prefix('/') else {
            return if text.is_empty() {
                Ok(Pointer { tokens: Vec::new() })
            } else {
                Err(InvalidPointer::NoSlash)
            };
        };
        let tokens = rest.split('/').map(unescape).collect::<Result<_, _>>()?;
        Ok(Pointer { tokens })
    }

    /// Returns the tokens from the root.
    pub fn tokens(&self) -> &[Cow<'a, str>] {
        &self.tokens
    }

    /// Returns the value at the pointer, if present.
    pub fn get<'d>(&self, doc: &'d Doc) -> Option<&'d Doc> {
        self.tokens.iter().try_fold(doc, |at, token| match at {
            Doc::Object(members) => members.get(&**token),
            Doc::Array(items) => items.get(index(token)?),
            _ => None,
        })
    }
}

/// Parses an array index (RFC 6901 section 4): digits without a leading zero.
pub fn index(token: &str) -> Option<usize> {
    let digits = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = token.len() > 1 && token.starts_with('0');
    if digits && !leading_zero {
        token.parse().ok()
    } else {
        None
    }
}

/// Appends a member's name to a pointer.
pub fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    for character in key.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// Appends an array index to a pointer.
pub fn push_index(pointer: &mut String, index: usize) {
    pointer.push('/');
    pointer.push_str(&index.to_string());
}

fn unescape(token: &str) -> Result<Cow<'_, str>, InvalidPointer> {
    if !token.contains('~') {
        return Ok(Cow::Borrowed(token));
    }
    let mut out = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        match (character, character == '~') {
            (other, false) => out.push(other),
            (_, true) => match characters.next() {
                Some('0') => out.push('~'),
                Some('1') => out.push('/'),
                _ => return Err(InvalidPointer::Escape),
            },
        }
    }
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::json;

    #[test]
    fn points_as_the_rfc_shows() {
        // The examples of RFC 6901 section 5.
        let doc = json::parse(
            r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#,
        )
        .unwrap();
        let at = |text: &str| Pointer::parse(text).unwrap().get(&doc).cloned();
        assert_eq!(at(""), Some(doc.clone()));
        assert_eq!(at("/foo/0"), Some(Doc::from("bar")));
        for (text, value) in [
            ("/", 0),
            ("/a~1b", 1),
            ("/c%d", 2),
            ("/e^f", 3),
            ("/g|h", 4),
            ("/i\\j", 5),
            ("/k\"l", 6),
            ("/ ", 7),
            ("/m~0n", 8),
        ] {
            assert_eq!(at(text), Some(Doc::from(value)), "{text}");
        }
        assert_eq!(at("/foo/2"), None);
        assert_eq!(at("/foo/-"), None);
    }

    #[test]
    fn unescapes_tilde_one_before_tilde_zero() {
        assert_eq!(Pointer::parse("/~01").unwrap().tokens(), ["~1"]);
    }

    #[test]
    fn refuses_what_is_no_pointer() {
        assert_eq!(Pointer::parse("a"), Err(InvalidPointer::NoSlash));
        assert_eq!(Pointer::parse("/~"), Err(InvalidPointer::Escape));
        assert_eq!(Pointer::parse("/~2"), Err(InvalidPointer::Escape));
    }

    #[test]
    fn an_index_is_digits_without_a_leading_zero() {
        assert_eq!(index("0"), Some(0));
        assert_eq!(index("10"), Some(10));
        for bad in [
            "",
            "00",
            "01",
            "-1",
            "+1",
            "1e0",
            "1.0",
            " 1",
            "-",
            "99999999999999999999",
        ] {
            assert_eq!(index(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        let mut text = String::new();
        push_key(&mut text, "a/b~c");
        push_index(&mut text, 3);
        assert_eq!(text, "/a~1b~0c/3");
    }
}
