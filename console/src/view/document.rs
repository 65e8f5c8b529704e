//! A document with line numbers.

use maud::{Markup, html};

use crate::view::text::visible;

/// Shows a YAML document. Keys stand out; nothing else is interpreted.
pub(crate) fn yaml(text: &str) -> Markup {
    html! {
        div.code role="region" aria-label="Document" tabindex="0" {
            ol {
                @for line in text.lines() {
                    @let (key, rest) = split_key(line);
                    li { @if !key.is_empty() { b { (visible(key)) } } (visible(rest)) }
                }
            }
        }
    }
}

/// Splits a line after its key, indentation included: `  - name: x` is `  - name` and `: x`.
fn split_key(line: &str) -> (&str, &str) {
    let start = line.len() - line.trim_start_matches([' ', '-']).len();
    let Some(end) = line.get(start..).and_then(|rest| rest.find(':')) else {
        return ("", line);
    };
    let end = start + end;
    let is_key = line[start..end]
        .chars()
        .all(|c| c.is_alphanumeric() || "_-.$".contains(c));
    let ends = line[end + 1..].is_empty() || line[end + 1..].starts_with(' ');
    if is_key && ends && end > start {
        line.split_at(end)
    } else {
        ("", line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_the_style_of_canonical_documents() {
        for (line, key) in [
            ("id: x", "id"),
            ("  - name: writer", "  - name"),
            ("    spec:", "    spec"),
            ("  - plain", ""),
            ("http://x", ""),
            ("say: what: then", "say"),
            ("\"a b\": c", ""),
            ("", ""),
        ] {
            assert_eq!(split_key(line).0, key, "{line}");
        }
    }
}
