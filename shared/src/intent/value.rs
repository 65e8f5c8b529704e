//! Values and texts in sentences: JSON, blocks and bare texts.

use crate::blueprint::{Doc, DocumentError, json};

use crate::intent::advice::HOW_TO_QUOTE;
use crate::intent::limits::{MAX_CITED, cut};
use crate::intent::sentence::Reader;
use crate::intent::source::{is_blank, is_word, trim, trim_end, word_at};

/// The form of a value.
enum Form {
    /// JSON: `"`, `{` or `[`.
    Json,
    /// A block: `<<`.
    Block,
    /// A bare text.
    Bare,
}

/// Typographic quotes that word processors substitute for `"` and `'`.
const SMART_QUOTES: [char; 12] = ['“', '”', '„', '‟', '«', '»', '‘', '’', '‚', '‛', '″', '＂'];

/// Quotes that, when open, suggest that a sentence in a bare text is quoted text.
const QUOTES: [u8; 2] = [b'"', b'`'];

impl Reader<'_> {
    fn form(&self, at: usize) -> Form {
        match self.source.byte(at) {
            Some(b'"' | b'{' | b'[') => Form::Json,
            Some(b'<') if self.source.text[at..].starts_with("<<") => Form::Block,
            _ => Form::Bare,
        }
    }

    /// Parses the `<value>` at `at` that ends the sentence, and returns it with its end.
    pub(super) fn value(&self, at: usize) -> Result<(Doc, usize), String> {
        match self.form(at) {
            Form::Json => self.json(at).and_then(|found| self.last(found)),
            Form::Block => self.block(at),
            Form::Bare => {
                let (text, end) = self.bare(at)?;
                Ok((self.scalar(at, text)?, end))
            }
        }
    }

    /// Parses the `<text>` at `at` that ends the sentence, and returns it with its end.
    pub(super) fn text(&self, at: usize) -> Result<(Doc, usize), String> {
        match self.form(at) {
            Form::Json if self.source.byte(at) == Some(b'"') => {
                self.json(at).and_then(|found| self.last(found))
            }
            Form::Block => self.block(at),
            _ => {
                let (text, end) = self.bare(at)?;
                Ok((Doc::from(text), end))
            }
        }
    }

    /// Parses the `<value>` at `at` before ` to <pointer>`, and returns it with its end. A bare
    /// value ends at the last ` to <pointer>` in its segment.
    pub(super) fn value_before_pointer(&self, at: usize) -> Result<(Doc, usize), String> {
        match self.form(at) {
            Form::Json => self.json(at),
            Form::Block => self.block(at),
            Form::Bare => {
                let end = self.last_to_pointer(at).unwrap_or(at);
                let text = trim(&self.source.text[at..end]);
                self.check_quotes(at, text)?;
                Ok((self.scalar(at, text)?, end))
            }
        }
    }

    /// Returns the end of a value in JSON or a block; `None` for a bare or an invalid value.
    pub(super) fn end_of_quoted_value(&self, at: usize) -> Option<usize> {
        // Does not create error messages, because the caller checks many positions.
        match self.form(at) {
            Form::Json => json::find_value_at(self.source.text, at).map(|(_, end)| end),
            Form::Block => self.find_block(at).map(|(_, end)| end),
            Form::Bare => None,
        }
    }

    fn json(&self, at: usize) -> Result<(Doc, usize), String> {
        json::value_at(self.source.text, at)
            .map_err(|error| format!("{error}; what begins like JSON must be JSON; {HOW_TO_QUOTE}"))
    }

    /// Checks that only a separator follows a value.
    fn last(&self, (doc, end): (Doc, usize)) -> Result<(Doc, usize), String> {
        if self.is_end(end) {
            return Ok((doc, end));
        }
        let rest = self.source.skip_blanks(end);
        let line = &self.source.text[rest..self.source.line_end(rest)];
        Err(format!(
            "{}: something follows the value: {:?}; what begins like JSON must be JSON to its end; {HOW_TO_QUOTE}",
            self.source.position(rest),
            cut(trim(line), MAX_CITED)
        ))
    }

    /// Returns the text of the block at `at` (`<<WORD`, lines, `WORD`) and its end.
    fn find_block(&self, at: usize) -> Option<(&str, usize)> {
        let source = self.source;
        let word = word_at(&source.text[at + 2..]);
        let line_end = source.skip_spaces(at + 2 + word.len());
        if word.is_empty() || source.byte(line_end) != Some(b'\n') {
            return None;
        }
        let first = line_end + 1;
        let close = source.line_of(word, first)?;
        // The line end of the last line is not part of the text.
        let lines = &source.text[first..close];
        let lines = lines.strip_suffix('\n').unwrap_or(lines);
        let lines = match source.text[..line_end].ends_with('\r') {
            true => lines.strip_suffix('\r').unwrap_or(lines),
            false => lines,
        };
        Some((lines, source.line_end(close)))
    }

    fn block(&self, at: usize) -> Result<(Doc, usize), String> {
        if let Some((text, end)) = self.find_block(at) {
            return Ok((Doc::from(text), end));
        }
        let word = trim_end(&self.source.text[at + 2..self.source.line_end(at)]);
        let problem = if is_word(word) {
            format!("the block <<{word} has no end: a line that is {word} and nothing else")
        } else {
            format!(
                "<< begins a block, and a word must end its line, such as <<END; {HOW_TO_QUOTE}"
            )
        };
        Err(format!("{}: {problem}", self.source.position(at)))
    }

    /// Returns the bare text at `at` and its end: the separator before the next sentence, or the
    /// end of the intent.
    fn bare(&self, at: usize) -> Result<(&str, usize), String> {
        let end = self.end_of_bare(at)?;
        let text = trim(&self.source.text[at..end]);
        let text = match end == self.source.text.len() {
            true => text,
            false => {
                text.trim_end_matches(|c: char| c == ';' || u8::try_from(c).is_ok_and(is_blank))
            }
        };
        self.check_quotes(at, text)?;
        Ok((text, end))
    }

    fn end_of_bare(&self, at: usize) -> Result<usize, String> {
        let source = self.source;
        let (mut from, mut quotes) = (at, [0_usize; 2]);
        loop {
            if self.is_fence(from) {
                return Err(self.ambiguous_fence(from));
            }
            let separator = source.segment_end(from);
            if separator == source.text.len() {
                return Ok(separator);
            }
            let segment = &source.text[from..separator];
            for (quote, count) in QUOTES.iter().zip(&mut quotes) {
                *count += segment.bytes().filter(|byte| byte == quote).count();
            }
            self.check_no_block(segment, separator)?;
            from = source.skip_separators(separator);
            if from == source.text.len() {
                return Ok(from);
            }
            if self.begins_at(from) {
                if quotes.iter().any(|count| count % 2 == 1) {
                    return Err(format!(
                        "{}: this reads as a sentence, but stands between quotes in a text that is not quoted as a \
                         whole; {HOW_TO_QUOTE}",
                        source.position(from)
                    ));
                }
                return Ok(separator);
            }
        }
    }

    /// Refuses a block that starts inside a bare text.
    fn check_no_block(&self, segment: &str, separator: usize) -> Result<(), String> {
        let segment = trim_end(segment);
        let Some(start) = segment.rfind("<<") else {
            return Ok(());
        };
        let word = &segment[start + 2..];
        if is_word(word)
            && self.source.byte(separator) == Some(b'\n')
            && self.source.line_of(word, separator + 1).is_some()
        {
            return Err(format!(
                "{}: the block <<{word} begins in the middle of a text; it must be the whole value",
                self.source.position(separator)
            ));
        }
        Ok(())
    }

    /// Refuses quotes other than JSON's around a text or name.
    pub(super) fn check_quotes(&self, at: usize, text: &str) -> Result<(), String> {
        let first = text.chars().next();
        let smart = first.filter(|first| SMART_QUOTES.contains(first));
        let single = text.len() > 1 && text.starts_with('\'') && text.ends_with('\'');
        match smart.or(single.then_some('\'')) {
            None => Ok(()),
            Some(quote) => Err(format!(
                "{}: {quote} is not a JSON quote; quote with \" as in {}",
                self.source.position(at),
                quoted(text.trim_matches(|c| c == '\'' || SMART_QUOTES.contains(&c)))
            )),
        }
    }

    /// Parses a bare value: a number, `true`, `false`, `null`, or a text that does not start like
    /// one of them.
    fn scalar(&self, at: usize, text: &str) -> Result<Doc, String> {
        let value =
            text.trim_end_matches(|c: char| c == ';' || u8::try_from(c).is_ok_and(is_blank));
        let word = value
            .split(|c: char| c == ';' || u8::try_from(c).is_ok_and(is_blank))
            .next()
            .unwrap_or_default();
        if !looks_like_json(word.trim_end_matches(['.', ',', ':', '!', '?'])) {
            return Ok(Doc::from(text));
        }
        if let Ok(doc) = json::parse(value) {
            return Ok(doc);
        }
        // A valid JSON number that a document cannot represent has its own message.
        let problem = match json::value_at(&self.source.text[..at + value.len()], at) {
            Err(error) if word == value && !matches!(error, DocumentError::Syntax { .. }) => {
                error.to_string()
            }
            _ => format!(
                "{}: the value begins like JSON with {word:?} and is none",
                self.source.position(at)
            ),
        };
        Err(format!("{problem}; for the text write {}", quoted(value)))
    }
}

/// Returns `text` as a JSON string, or a hint how to write it if it is long.
fn quoted(text: &str) -> String {
    if text.chars().count() > 60 {
        "it in double quotes as a JSON string".to_owned()
    } else {
        json::emit(&Doc::from(text))
    }
}

/// True for a number, `true`, `false` and `null`, and for their equivalents in other languages.
pub(super) fn looks_like_json(word: &str) -> bool {
    const WORDS: [&str; 8] = [
        "true",
        "false",
        "null",
        "none",
        "nil",
        "undefined",
        "nan",
        "infinity",
    ];
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let bare = unsigned.strip_prefix('.').unwrap_or(unsigned);
    WORDS.iter().any(|known| bare.eq_ignore_ascii_case(known))
        || bare.eq_ignore_ascii_case("inf")
        || looks_like_number(unsigned)
}

/// True for a number in the syntax of JSON, JavaScript, Python, C or prose.
fn looks_like_number(text: &str) -> bool {
    let rest = text.strip_prefix('.').unwrap_or(text);
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let radix = ["0x", "0X", "0o", "0O", "0b", "0B"];
    if let Some(digits) = radix.iter().find_map(|radix| text.strip_prefix(radix)) {
        return digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_');
    }
    let digits = |text: &str| -> usize {
        let is_digit = |b: &u8| b.is_ascii_digit() || matches!(b, b'_' | b',');
        text.bytes().take_while(is_digit).count()
    };
    let rest = &text[digits(text)..];
    let rest = rest
        .strip_prefix('.')
        .map_or(rest, |fraction| &fraction[digits(fraction)..]);
    let rest = rest.strip_prefix(['e', 'E']).map_or(rest, |exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        &exponent[digits(exponent)..]
    });
    rest.is_empty()
}
