//! The kinds of unusable replies, with a text for errors and a sentence for the model.

use std::fmt;

use crate::flow::agents::llm::protocol::{Answer, End};
use crate::flow::agents::llm::quote;

/// The maximum number of characters of a reply in a message.
const MAX_SHOWN_CHARS: usize = 200;

/// The kind of a reply without one usable JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The reply is empty.
    Empty,
    /// The reply is a thought without an answer.
    Thought,
    /// The model, or the provider's filter, refused.
    Refusal,
    /// The reply is a call of a tool with this name, which may be empty.
    ToolCall(String),
    /// The reply is text without a JSON object.
    Text,
    /// The reply is JSON of another type, such as `an array`.
    Other(&'static str),
    /// The reply contains this number of objects.
    Several(usize),
    /// The reply contains a damaged object; contains the error of the JSON parser.
    Invalid(String),
    /// The object has the wrong shape. The text completes the words "an object that".
    Shape(String),
}

impl Unusable {
    /// Returns the kind of the whole answer: a refusal or a tool call takes priority over the kind
    /// of the text.
    pub(super) fn in_answer(self, answer: &Answer) -> Unusable {
        match self {
            Unusable::Shape(_) | Unusable::Several(_) | Unusable::Invalid(_) => self,
            _ if !answer.refusal.is_empty() || answer.end == Some(End::Refused) => {
                Unusable::Refusal
            }
            _ if answer.tool_call.is_some() => {
                Unusable::ToolCall(answer.tool_call.clone().unwrap_or_default())
            }
            Unusable::Empty if answer.has_thought => Unusable::Thought,
            other => other,
        }
    }

    /// Returns a full sentence for the model with the problem.
    pub(super) fn sentence(&self) -> String {
        match self {
            Unusable::Empty => "Your last reply was empty.".to_owned(),
            Unusable::Thought => "Your last reply had a thought, and no answer after it.".to_owned(),
            Unusable::Refusal => {
                "Your last reply was a refusal. The task is to write a JSON object about the document that you were given; if nothing should be changed, say so in that object.".to_owned()
            }
            Unusable::ToolCall(name) if name.is_empty() => {
                "Your last reply was a tool call, but you have no tools.".to_owned()
            }
            Unusable::ToolCall(name) => {
                let name = quote::quoted(name, MAX_SHOWN_CHARS);
                format!("Your last reply was a call of the tool {name}, but you have no tools.")
            }
            Unusable::Text => "Your last reply was text without a JSON object.".to_owned(),
            Unusable::Other(kind) => format!("Your last reply was {kind}, not a JSON object."),
            Unusable::Several(_) => {
                "Your last reply had more than one JSON object, so it is not clear which one is the answer.".to_owned()
            }
            Unusable::Invalid(problem) => {
                format!("Your last reply could not be read as JSON: {problem}.")
            }
            Unusable::Shape(problem) => {
                format!("The JSON object of your last reply cannot be used: it {problem}.")
            }
        }
    }

    /// Returns the kind, and the beginning of `text`, escaped.
    pub(super) fn shown(&self, text: &str) -> String {
        match text.trim() {
            "" => self.to_string(),
            text => format!("{self}: {}", quote::quoted(text, MAX_SHOWN_CHARS)),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Empty => f.write_str("an empty reply"),
            Unusable::Thought => f.write_str("a thought without an answer"),
            Unusable::Refusal => f.write_str("a refusal"),
            Unusable::ToolCall(name) if name.is_empty() => f.write_str("a tool call"),
            Unusable::ToolCall(name) => {
                let name = quote::quoted(name, MAX_SHOWN_CHARS);
                write!(f, "a call of the tool {name}")
            }
            Unusable::Text => f.write_str("text without a JSON object"),
            Unusable::Other(kind) => f.write_str(kind),
            Unusable::Several(n) => write!(f, "{n} JSON objects"),
            Unusable::Invalid(problem) => write!(f, "damaged JSON ({problem})"),
            Unusable::Shape(problem) => write!(f, "an object that {problem}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_say_more_than_its_text() {
        let mut answer = Answer::default();
        assert_eq!(Unusable::Empty.in_answer(&answer), Unusable::Empty);
        answer.has_thought = true;
        assert_eq!(Unusable::Empty.in_answer(&answer), Unusable::Thought);
        answer.tool_call = Some("f".to_owned());
        let call = Unusable::Text.in_answer(&answer);
        assert_eq!(call.to_string(), "a call of the tool \"f\"");
        answer.end = Some(End::Refused);
        assert_eq!(Unusable::Empty.in_answer(&answer), Unusable::Refusal);
        let shape = Unusable::Shape("has no ops".to_owned());
        assert_eq!(shape.clone().in_answer(&answer), shape);
    }

    #[test]
    fn no_sentence_is_about_another_kind() {
        let all = [
            Unusable::Empty,
            Unusable::Thought,
            Unusable::Refusal,
            Unusable::ToolCall(String::new()),
            Unusable::ToolCall("f".to_owned()),
            Unusable::Text,
            Unusable::Other("an array"),
            Unusable::Several(2),
            Unusable::Invalid("a comma is missing".to_owned()),
            Unusable::Shape("has no ops".to_owned()),
        ];
        let mut seen = std::collections::HashSet::new();
        for unusable in all {
            let (sentence, shown) = (unusable.sentence(), unusable.shown("a\u{1b}"));
            assert!(
                sentence.ends_with('.') && !sentence.contains("YAML"),
                "{sentence}"
            );
            assert!(shown.ends_with(": \"a\\u{1b}\""), "{shown}");
            assert!(seen.insert(sentence) && seen.insert(shown));
        }
    }
}
