//! The flow of a Blueprint as a graph.
//!
//! A flow is a tree of blocks, so its layout follows the tree: each block gets the layers of its
//! parts. General layouts of graphs were considered: `rust-sugiyama` 0.4 knows no frames around
//! parts and places merges of branches freely; `dagre` 0.1 (a port of dagre.js) has frames, and a
//! single release; `layout-rs` 0.1 writes fixed colours into its drawing, and ours are light or dark.
//! None shows a loop or a fan-out as what it is.

mod expr;
mod layout;
mod outline;
mod svg;

use maud::{Markup, html};
use serde_json::Value;

/// Draws the flow of a document, and lists it as text.
pub(crate) fn flow(document: &Value) -> Markup {
    let flow = &document["flow"];
    if !flow.is_object() {
        return html! { p.empty { "The document has no flow." } };
    }
    let agents = document["agents"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let kind_of = |name: &str| {
        let mut agents = agents.iter();
        let agent = agents.find(|agent| agent["name"].as_str() == Some(name))?;
        agent["kind"].as_str()
    };
    let drawing = layout::layout(flow, &kind_of);
    html! {
        div.graph role="region" aria-label="Flow" tabindex="0" data-pan { (svg::draw(&drawing)) }
        @if drawing.is_cut {
            p.empty { "The graph shows the first " (layout::MAX_NODES) " nodes." }
        }
        details.outline {
            summary { "The flow as a list" }
            (outline::list(flow))
        }
    }
}
