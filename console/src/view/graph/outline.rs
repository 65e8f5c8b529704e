//! The flow as a nested list: the text alternative of the graph.

use maud::{Markup, html};
use serde_json::Value;

use crate::view::graph::expr::words;
use crate::view::text::visible;

/// The deepest listed block. Documents have at most 64 levels.
const MAX_DEPTH: usize = 32;

/// Returns the list of a flow.
pub(crate) fn list(flow: &Value) -> Markup {
    html! { ul { (item(flow, 0)) } }
}

fn item(node: &Value, depth: usize) -> Markup {
    if depth > MAX_DEPTH {
        return html! { li { "…" } };
    }
    let part = |name: &str, label: &str| {
        html! { @if node[name].is_object() { li { (label) ul { (item(&node[name], depth + 1)) } } } }
    };
    match node["kind"].as_str() {
        Some("seq") => {
            let children = node["children"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            html! { @for child in children { (item(child, depth + 1)) } }
        }
        Some("step") => html! {
            li { "step " b { (visible(node["ref"].as_str().unwrap_or("?"))) } ": "
                (visible(&words(&node["in"]))) " → " (visible(&words(&node["out"]))) }
        },
        Some("branch") => html! {
            li { "if " (visible(&words(&node["cond"])))
                ul { (part("then", "then")) (part("else", "otherwise")) } }
        },
        Some("fanout") => html! {
            li { "for each of " (visible(&words(&node["items"]))) " as " (visible(&words(&node["bind"])))
                ul { (item(&node["body"], depth + 1)) } }
        },
        Some("loop") => html! {
            li { "while " (visible(&words(&node["cond"]))) ", at most " (node["max"].to_string()) " times"
                ul { (item(&node["body"], depth + 1)) } }
        },
        Some("try") => html! {
            li { "try" ul { (part("body", "run")) (part("catch", "on an error")) } }
        },
        Some("let") => html! {
            li { "set " (visible(&words(&node["at"]))) " to " (visible(&words(&node["value"]))) }
        },
        other => html! { li { (visible(other.unwrap_or("unknown"))) } },
    }
}
