//! The drawing as SVG. Colours and fonts are those of the style sheet.

use maud::{Markup, html};

use crate::view::graph::layout::{Drawing, Edge, Frame, Kind, Shape};
use crate::view::text::{counted, visible};

/// Draws it in its natural size.
pub(crate) fn draw(drawing: &Drawing) -> Markup {
    let view = format!("0 0 {} {}", drawing.width, drawing.height);
    let label = format!(
        "The flow as a graph with {}",
        counted(drawing.shapes.len() as u64, "node")
    );
    html! {
        svg viewBox=(view) width=(drawing.width) height=(drawing.height) role="img" aria-label=(label) {
            defs {
                marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                    path d="M0 0 8 4 0 8z" {}
                }
            }
            @for frame in &drawing.frames { (framed(frame)) }
            @for edge in &drawing.edges { (line(edge)) }
            @for (x, y) in &drawing.dots { circle cx=(x) cy=(y) r="5" {} }
            @for shape in &drawing.shapes { (node(shape)) }
        }
    }
}

fn framed(frame: &Frame) -> Markup {
    let class = if frame.is_loop { "frame loop" } else { "frame" };
    html! {
        rect.(class) x=(frame.x) y=(frame.y) width=(frame.width) height=(frame.height) rx="8" {}
        text.heading x=(frame.x + 12) y=(frame.y + 18) { (visible(&frame.heading)) }
    }
}

fn line(edge: &Edge) -> Markup {
    let points: Vec<String> = edge
        .points
        .iter()
        .map(|(x, y)| format!("{x},{y}"))
        .collect();
    let end = edge.has_arrow.then_some("url(#arrow)");
    // The label stands at the last straight part of a line with bends.
    let label_at = edge.points.len().checked_sub(2).map(|at| edge.points[at]);
    html! {
        polyline points=(points.join(" ")) marker-end=[end] {}
        @if !edge.label.is_empty() {
            @if let Some((x, y)) = label_at {
                text.label x=(x + 6) y=(y + 16) { (edge.label) }
            }
        }
    }
}

fn node(shape: &Shape) -> Markup {
    let class = match shape.kind {
        Kind::Step => "node step",
        Kind::Condition => "node condition",
        Kind::Let => "node let",
        Kind::Unknown => "node unknown",
    };
    let middle = shape.x + shape.width / 2;
    html! {
        g.(class) {
            rect x=(shape.x) y=(shape.y) width=(shape.width) height=(shape.height) rx="6" {}
            @for (at, line) in (0_i32..).zip(&shape.lines) {
                text.name x=(middle) y=(shape.y + 11 + 13 + at * 17) text-anchor="middle" { (visible(line)) }
            }
            @if !shape.note.is_empty() {
                @let below = i32::try_from(shape.lines.len()).unwrap_or(1);
                text.note x=(middle) y=(shape.y + 11 + 13 + below * 17) text-anchor="middle" { (visible(&shape.note)) }
            }
        }
    }
}
