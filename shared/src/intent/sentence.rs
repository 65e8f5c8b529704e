//! The sentences of intents and their parser.

use crate::blueprint::{Doc, json};

use crate::intent::advice::{HOW_TO_QUOTE, UNDERSTOOD, near_form};
use crate::intent::fence::{self, Fence};
use crate::intent::limits::{MAX_CITED, cut};
use crate::intent::source::{Source, is_blank, trim, word_at};

/// One sentence.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sentence {
    /// `set <pointer> to <value>`
    Set { pointer: String, value: Doc },
    /// `add <value> to <pointer>`
    Add { value: Doc, pointer: String },
    /// `remove <pointer>`
    Remove { pointer: String },
    /// `rename agent <a> to <b>`
    Rename { from: String, to: String },
    /// `tag <name>`
    Tag { name: String },
    /// `untag <name>`
    Untag { name: String },
    /// `describe as <text>`
    Describe { text: Doc },
    /// `set prompt of agent <a> to <text>`, `set model of agent <a> to <text>`
    Profile {
        field: &'static str,
        agent: String,
        text: Doc,
    },
}

impl Sentence {
    /// Returns the sentence in the form for scripts.
    pub(super) fn into_doc(self) -> Doc {
        let named =
            |verb: &str, name: String| Doc::object([("verb", verb.into()), ("name", name.into())]);
        match self {
            Sentence::Set { pointer, value } => Doc::object([
                ("verb", "set".into()),
                ("pointer", pointer.into()),
                ("value", value),
            ]),
            Sentence::Add { value, pointer } => Doc::object([
                ("verb", "add".into()),
                ("value", value),
                ("pointer", pointer.into()),
            ]),
            Sentence::Remove { pointer } => {
                Doc::object([("verb", "remove".into()), ("pointer", pointer.into())])
            }
            Sentence::Rename { from, to } => Doc::object([
                ("verb", "rename".into()),
                ("from", from.into()),
                ("to", to.into()),
            ]),
            Sentence::Tag { name } => named("tag", name),
            Sentence::Untag { name } => named("untag", name),
            Sentence::Describe { text } => {
                Doc::object([("verb", "describe".into()), ("text", text)])
            }
            Sentence::Profile { field, agent, text } => Doc::object([
                ("verb", "profile".into()),
                ("field", field.into()),
                ("agent", agent.into()),
                ("text", text),
            ]),
        }
    }
}

/// The verb of a sentence.
#[derive(Debug, Clone, Copy)]
enum Verb {
    /// `set`, with the field of the agent's profile unless the sentence sets a pointer.
    Set(Option<&'static str>),
    Add,
    Remove,
    Rename,
    Tag,
    Untag,
    Describe,
}

/// The words of each verb, longer ones first.
const VERBS: [(&[&str], Verb); 9] = [
    (
        &["set", "prompt", "of", "agent"],
        Verb::Set(Some("system_prompt")),
    ),
    (&["set", "model", "of", "agent"], Verb::Set(Some("model"))),
    (&["set"], Verb::Set(None)),
    (&["add"], Verb::Add),
    (&["remove"], Verb::Remove),
    (&["rename", "agent"], Verb::Rename),
    (&["tag"], Verb::Tag),
    (&["untag"], Verb::Untag),
    (&["describe", "as"], Verb::Describe),
];

/// A name or pointer, and its end.
type Operand = (String, usize);

/// The parser of an intent's sentences.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source<'a>) -> Self {
        Self { source }
    }

    /// Parses all sentences, starting at `first`.
    pub(super) fn sentences(&self, first: usize) -> Result<Vec<Sentence>, String> {
        let mut found = Vec::new();
        let mut at = first;
        while at < self.source.text.len() {
            if self.is_fence(at) {
                return Err(self.ambiguous_fence(at));
            }
            if !self.begins_at(at) {
                return Err(self.not_understood(at));
            }
            let (sentence, end) = self.sentence(at)?;
            found.push(sentence);
            at = self.source.skip_separators(end);
        }
        Ok(found)
    }

    /// Checks that no sentence is outside the fenced blocks.
    pub(super) fn check_prose(&self, fences: &[Fence]) -> Result<(), String> {
        let mut fences = fences.iter().peekable();
        let mut at = self.source.skip_separators(0);
        while at < self.source.text.len() {
            // A fence is indented only by spaces, so its line starts at or before `at`.
            if let Some(fence) = fences.next_if(|fence| fence.start <= at) {
                at = self.source.skip_separators(fence.end);
            } else if self.begins_at(at) {
                return Err(format!(
                    "{}: this reads as a sentence, and the intent holds a fenced block too, so it is not clear which \
                     is meant; send the patch alone or the sentences alone; {HOW_TO_QUOTE}",
                    self.source.position(at)
                ));
            } else {
                at = self.source.skip_separators(self.source.segment_end(at));
            }
        }
        Ok(())
    }

    /// True if `at` is the first character of a line that opens a fenced block.
    pub(super) fn is_fence(&self, at: usize) -> bool {
        if !matches!(self.source.byte(at), Some(b'`' | b'~')) {
            return false;
        }
        // Searches backwards from `at`, because the caller checks many positions of one line.
        let before = &self.source.text.as_bytes()[..at];
        let indent = before.iter().rev().take_while(|b| **b == b' ').count();
        let start = at - indent;
        (start == 0 || before[start - 1] == b'\n')
            && fence::opens(&self.source.text[start..self.source.line_end(at)])
    }

    pub(super) fn ambiguous_fence(&self, at: usize) -> String {
        format!(
            "{}: a fenced block stands beside sentences, so it is not clear whether it is a patch or a text; send \
             a patch alone; {HOW_TO_QUOTE}",
            self.source.position(at)
        )
    }

    /// Returns the refusal of the text from `at`.
    pub(super) fn not_understood(&self, at: usize) -> String {
        let source = self.source;
        let mut end = at;
        loop {
            end = source.segment_end(end);
            let next = source.skip_separators(end);
            if next == source.text.len() || self.begins_at(next) {
                break;
            }
            end = next;
        }
        let hint = self
            .hint(at)
            .map_or_else(String::new, |hint| format!(": {hint}"));
        format!(
            "not understood: {:?} ({}{hint}); understood are: {UNDERSTOOD}",
            cut(trim(&source.text[at..end]), MAX_CITED),
            source.position(at)
        )
    }

    /// Returns the likely problem of a text that starts with a verb.
    fn hint(&self, at: usize) -> Option<String> {
        let Some((verb, rest)) = self.verb_at(at) else {
            return near_form(word_at(&self.source.text[at..]));
        };
        if self.source.byte(rest) == Some(b'"')
            && let Err(error) = json::value_at(self.source.text, rest)
        {
            return Some(error.to_string());
        }
        Some(match verb {
            Verb::Tag | Verb::Untag => {
                "a tag of several words stands in double quotes, and nothing follows it".to_owned()
            }
            Verb::Set(None) | Verb::Remove => "a pointer begins with /".to_owned(),
            Verb::Add => {
                "the last word but one must be `to`, before a pointer that begins with /".to_owned()
            }
            Verb::Set(Some(_)) | Verb::Rename => {
                "`to` and what comes after it are missing, or the agent's name needs double quotes"
                    .to_owned()
            }
            Verb::Describe => return None,
        })
    }

    /// Returns the verb at `at` and the start of the rest, which is not empty.
    fn verb_at(&self, at: usize) -> Option<(Verb, usize)> {
        VERBS.iter().find_map(|(words, verb)| {
            let mut at = at;
            for word in *words {
                let found = self.source.text.as_bytes().get(at..at + word.len())?;
                let rest = self.source.skip_blanks(at + word.len());
                if !found.eq_ignore_ascii_case(word.as_bytes()) || rest == at + word.len() {
                    return None;
                }
                at = rest;
            }
            (at < self.source.text.len()).then_some((*verb, at))
        })
    }

    /// True if a sentence starts at `at`. Its value may be invalid: then the intent is refused, and
    /// the sentence is not taken as other text.
    pub(super) fn begins_at(&self, at: usize) -> bool {
        let Some((verb, rest)) = self.verb_at(at) else {
            return false;
        };
        match verb {
            Verb::Set(None) => self.is_pointer(rest) && self.operand_before_to(rest).is_some(),
            Verb::Set(Some(_)) => self.operand_before_to(rest).is_some(),
            Verb::Rename => {
                let to = self.operand_before_to(rest);
                to.is_some_and(|(_, to)| self.last_operand(to).is_some())
            }
            Verb::Add => {
                let end = self.end_of_quoted_value(rest);
                end.is_some_and(|end| self.pointer_after_to(end).is_some())
                    || self.last_to_pointer(rest).is_some()
            }
            Verb::Remove => self.is_pointer(rest) && self.last_operand(rest).is_some(),
            Verb::Tag | Verb::Untag => self.tag_name(rest).is_some(),
            Verb::Describe => !matches!(self.source.byte(rest), None | Some(b';')),
        }
    }

    /// Parses the sentence at `at` and returns it with its end.
    fn sentence(&self, at: usize) -> Result<(Sentence, usize), String> {
        let missing = || self.not_understood(at);
        let (verb, rest) = self.verb_at(at).ok_or_else(missing)?;
        Ok(match verb {
            Verb::Set(field) => {
                let (subject, value_at) = self.operand_before_to(rest).ok_or_else(missing)?;
                if matches!(self.source.byte(value_at), None | Some(b';')) {
                    return Err(format!(
                        "{}: a value is missing after `to`",
                        self.source.position(value_at)
                    ));
                }
                match field {
                    None => {
                        let pointer = self.pointer(rest, subject)?;
                        let (value, end) = self.value(value_at)?;
                        (Sentence::Set { pointer, value }, end)
                    }
                    Some(field) => {
                        self.check_name(rest, &subject)?;
                        let (text, end) = self.text(value_at)?;
                        let agent = subject;
                        (Sentence::Profile { field, agent, text }, end)
                    }
                }
            }
            Verb::Add => {
                let (value, end) = self.value_before_pointer(rest)?;
                let pointer_at = self.pointer_after_to(end).ok_or_else(|| {
                    format!(
                        "{}: ` to ` and a pointer that begins with / must follow the value",
                        self.source.position(end)
                    )
                })?;
                let (pointer, end) = self.last_operand(pointer_at).ok_or_else(missing)?;
                let pointer = self.pointer(pointer_at, pointer)?;
                (Sentence::Add { value, pointer }, end)
            }
            Verb::Remove => {
                let (pointer, end) = self.last_operand(rest).ok_or_else(missing)?;
                let pointer = self.pointer(rest, pointer)?;
                (Sentence::Remove { pointer }, end)
            }
            Verb::Rename => {
                let (from, to_at) = self.operand_before_to(rest).ok_or_else(missing)?;
                let (to, end) = self.last_operand(to_at).ok_or_else(missing)?;
                self.check_name(rest, &from)?;
                self.check_name(to_at, &to)?;
                (Sentence::Rename { from, to }, end)
            }
            Verb::Tag | Verb::Untag => {
                let (name, end) = self.tag_name(rest).ok_or_else(missing)?;
                self.check_name(rest, &name)?;
                match verb {
                    Verb::Tag => (Sentence::Tag { name }, end),
                    _ => (Sentence::Untag { name }, end),
                }
            }
            Verb::Describe => {
                let (text, end) = self.text(rest)?;
                (Sentence::Describe { text }, end)
            }
        })
    }

    /// True if only blanks are between `at` and a separator or the end.
    pub(super) fn is_end(&self, at: usize) -> bool {
        let next = self.source.skip_spaces(at);
        matches!(self.source.byte(next), None | Some(b';' | b'\n'))
    }

    fn is_pointer(&self, at: usize) -> bool {
        self.source.text[at..].starts_with('/') || self.source.text[at..].starts_with("\"/")
    }

    /// Checks the pointer at `at`.
    fn pointer(&self, at: usize, text: String) -> Result<String, String> {
        match crate::blueprint::pointer::Pointer::parse(&text) {
            Ok(_) => Ok(text),
            Err(problem) => Err(format!("{}: {problem}", self.source.position(at))),
        }
    }

    /// Refuses quotes other than JSON's around the name at `at`.
    fn check_name(&self, at: usize, name: &str) -> Result<(), String> {
        match self.source.byte(at) {
            Some(b'"') => Ok(()),
            _ => self.check_quotes(at, name),
        }
    }

    /// Returns the double-quoted name at `at`.
    fn quoted_name(&self, at: usize) -> Option<Operand> {
        match json::find_value_at(self.source.text, at) {
            Some((Doc::Str(name), end)) if !name.is_empty() => Some((name.to_string(), end)),
            _ => None,
        }
    }

    /// Returns the name or pointer between `at` and the first `to`, and the start of the text after
    /// `to`.
    fn operand_before_to(&self, at: usize) -> Option<Operand> {
        let source = self.source;
        if source.byte(at) == Some(b'"') {
            let (name, end) = self.quoted_name(at)?;
            return Some((name, self.after_to(end)?));
        }
        let segment = source.segment_end(at);
        let start = (at..segment).find(|place| self.after_to_here(*place).is_some())?;
        let name = trim(&source.text[at..start]);
        (!name.is_empty()).then(|| (name.to_owned(), self.after_to(start).unwrap_or(start)))
    }

    /// The same as [`Self::after_to`], but only at the first blank of a run, so that a long run is
    /// read once.
    fn after_to_here(&self, at: usize) -> Option<usize> {
        let before = at
            .checked_sub(1)
            .and_then(|before| self.source.byte(before));
        if before.is_some_and(is_blank) {
            return None;
        }
        self.after_to(at)
    }

    /// Returns the start of the text after ` to `, if ` to ` is at `at`.
    fn after_to(&self, at: usize) -> Option<usize> {
        if !self.source.byte(at).is_some_and(is_blank) {
            return None;
        }
        let word = self.source.skip_blanks(at);
        let found = self.source.text.as_bytes().get(word..word + 2)?;
        let rest = self.source.skip_blanks(word + 2);
        (found.eq_ignore_ascii_case(b"to") && rest > word + 2).then_some(rest)
    }

    /// Returns the start of the pointer, if ` to ` and a pointer are at `at`.
    fn pointer_after_to(&self, at: usize) -> Option<usize> {
        self.after_to(at).filter(|rest| self.is_pointer(*rest))
    }

    /// Returns the last position in the segment of `at` with ` to ` and a pointer.
    pub(super) fn last_to_pointer(&self, at: usize) -> Option<usize> {
        let segment = self.source.segment_end(at);
        (at + 1..segment).rev().find(|place| {
            let rest = self.after_to_here(*place);
            rest.is_some_and(|rest| self.is_pointer(rest))
        })
    }

    /// Returns the name or pointer at `at` that ends a sentence.
    fn last_operand(&self, at: usize) -> Option<Operand> {
        if self.source.byte(at) == Some(b'"') {
            return self.quoted_name(at).filter(|(_, end)| self.is_end(*end));
        }
        let end = self.source.segment_end(at);
        let text = trim(&self.source.text[at..end]);
        (!text.is_empty()).then(|| (text.to_owned(), end))
    }

    /// Returns the name at `at`: one word, or a double-quoted text.
    fn tag_name(&self, at: usize) -> Option<Operand> {
        if self.source.byte(at) == Some(b'"') {
            return self.last_operand(at);
        }
        let rest = &self.source.text[at..];
        let is_name =
            |c: char| !matches!(c, ';' | '"' | '`') && !u8::try_from(c).is_ok_and(is_blank);
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        let end = at + name.len();
        (!name.is_empty() && self.is_end(end)).then(|| (name.to_owned(), end))
    }
}
