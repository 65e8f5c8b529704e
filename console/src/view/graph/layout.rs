//! Places of the nodes of a flow, from top to bottom.
//!
//! Each block is laid out by itself, with one entry and one exit on a common vertical axis, and is
//! then moved to its place in the block around it.

use serde_json::Value;

use crate::view::graph::expr::words;

/// The number of drawn nodes.
pub(crate) const MAX_NODES: usize = 400;

/// Width of a node.
const WIDTH: i32 = 216;
/// Characters in a line of a node, at the size of the style sheet.
const COLUMNS: usize = 27;
/// Lines of a node's name.
const MAX_LINES: usize = 3;
const LINE: i32 = 17;
const PADDING: i32 = 11;
/// Distance between layers.
const GAP: i32 = 30;
/// Distance between branches, and of a frame from its content.
const SIDE: i32 = 28;
const FRAME: i32 = 22;
/// Height of the heading of a frame.
const HEADING: i32 = 26;
const DOT: i32 = 7;

/// What a node is; its class in the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A step: runs an agent.
    Step,
    /// A condition.
    Condition,
    /// A change of the context.
    Let,
    /// An unknown node.
    Unknown,
}

/// A box with text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) lines: Vec<String>,
    pub(crate) note: String,
}

/// A frame around a loop or a fan-out, with its heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) heading: String,
    /// True for a loop, which has an arrow back to its start.
    pub(crate) is_loop: bool,
}

/// A line through points, with an arrow at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) points: Vec<(i32, i32)>,
    pub(crate) label: &'static str,
    pub(crate) has_arrow: bool,
}

/// The complete drawing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawing {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) edges: Vec<Edge>,
    /// The start, the end, and places where branches meet.
    pub(crate) dots: Vec<(i32, i32)>,
    /// True if nodes are left out.
    pub(crate) is_cut: bool,
}

/// A part of a drawing. Its entry and exit are at `axis`, on its upper and lower border.
#[derive(Default)]
struct Block {
    axis: i32,
    drawing: Drawing,
}

impl Block {
    /// Moves `other` by (`x`, `y`) and takes its parts. The sizes are those of the caller.
    fn take(&mut self, other: Block, x: i32, y: i32) {
        let from = other.drawing;
        let into = &mut self.drawing;
        into.shapes.extend(from.shapes.into_iter().map(|mut shape| {
            shape.x += x;
            shape.y += y;
            shape
        }));
        into.frames.extend(from.frames.into_iter().map(|mut frame| {
            frame.x += x;
            frame.y += y;
            frame
        }));
        into.edges.extend(from.edges.into_iter().map(|mut edge| {
            for point in &mut edge.points {
                *point = (point.0 + x, point.1 + y);
            }
            edge
        }));
        into.dots
            .extend(from.dots.into_iter().map(|(dx, dy)| (dx + x, dy + y)));
    }

    fn edge(&mut self, points: Vec<(i32, i32)>, label: &'static str, has_arrow: bool) {
        self.drawing.edges.push(Edge {
            points,
            label,
            has_arrow,
        });
    }

    /// Returns the space to the right of the axis.
    fn right(&self) -> i32 {
        self.drawing.width - self.axis
    }
}

struct Layout<'a> {
    kind_of: &'a dyn Fn(&str) -> Option<&'a str>,
    left: usize,
    is_cut: bool,
}

/// Lays out a flow. `kind_of` returns the kind of an agent.
pub(crate) fn layout<'a>(flow: &Value, kind_of: &'a dyn Fn(&str) -> Option<&'a str>) -> Drawing {
    let mut layout = Layout {
        kind_of,
        left: MAX_NODES,
        is_cut: false,
    };
    let inner = layout.node(flow);
    let (margin, top) = (16, 16 + DOT);
    let mut whole = Block {
        axis: inner.axis + margin,
        ..Block::default()
    };
    let (width, height, axis) = (inner.drawing.width, inner.drawing.height, whole.axis);
    let start = top + DOT + GAP;
    let end = start + height + GAP;
    whole.take(inner, margin, start);
    whole.drawing.dots.push((axis, top));
    whole.drawing.dots.push((axis, end + DOT));
    whole.edge(vec![(axis, top + DOT), (axis, start)], "", true);
    whole.edge(vec![(axis, start + height), (axis, end)], "", true);
    whole.drawing.width = width + 2 * margin;
    whole.drawing.height = end + 2 * DOT + 16;
    whole.drawing.is_cut = layout.is_cut;
    whole.drawing
}

impl Layout<'_> {
    fn node(&mut self, node: &Value) -> Block {
        if self.left == 0 {
            self.is_cut = true;
            return boxed(Kind::Unknown, "…", "");
        }
        self.left -= 1;
        match node["kind"].as_str() {
            Some("step") => {
                let name = node["ref"].as_str().unwrap_or("?");
                let io = format!("{} → {}", words(&node["in"]), words(&node["out"]));
                let note = match (self.kind_of)(name) {
                    Some(kind) => format!("{kind} · {io}"),
                    None => io,
                };
                boxed(Kind::Step, name, &note)
            }
            Some("seq") => self.seq(node),
            Some("branch") => {
                let cond = boxed(Kind::Condition, &words(&node["cond"]), "if");
                let sides = [("yes", &node["then"]), ("no", &node["else"])];
                self.fork(cond, sides)
            }
            Some("try") => {
                let head = boxed(Kind::Condition, "try", "");
                let sides = [("run", &node["body"]), ("error", &node["catch"])];
                self.fork(head, sides)
            }
            Some("fanout") => {
                let join = node["join"].as_str().unwrap_or("all");
                let heading = format!(
                    "for each of {} as {} · join {join}",
                    words(&node["items"]),
                    words(&node["bind"])
                );
                let body = self.node(&node["body"]);
                framed(body, heading, false)
            }
            Some("loop") => {
                let heading = format!("while {} · at most {}", words(&node["cond"]), node["max"]);
                let body = self.node(&node["body"]);
                framed(body, heading, true)
            }
            Some("let") => {
                let text = format!("{} = {}", words(&node["at"]), words(&node["value"]));
                boxed(Kind::Let, &text, "set")
            }
            other => boxed(Kind::Unknown, other.unwrap_or("unknown"), ""),
        }
    }

    /// One below the other, on one axis.
    fn seq(&mut self, node: &Value) -> Block {
        let children = node["children"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let blocks: Vec<Block> = children.iter().map(|child| self.node(child)).collect();
        let axis = blocks
            .iter()
            .map(|block| block.axis)
            .max()
            .unwrap_or(WIDTH / 2);
        let right = blocks.iter().map(Block::right).max().unwrap_or(WIDTH / 2);
        let mut whole = Block {
            axis,
            ..Block::default()
        };
        let mut y = 0;
        for (at, block) in blocks.into_iter().enumerate() {
            if at > 0 {
                whole.edge(vec![(axis, y), (axis, y + GAP)], "", true);
                y += GAP;
            }
            let (x, height) = (axis - block.axis, block.drawing.height);
            whole.take(block, x, y);
            y += height;
        }
        whole.drawing.width = axis + right;
        whole.drawing.height = y;
        whole
    }

    /// Two blocks side by side below a head, which meet again.
    fn fork(&mut self, head: Block, sides: [(&'static str, &Value); 2]) -> Block {
        let [(left_label, left), (right_label, right)] = sides;
        let (left, right) = (self.node(left), self.node(right));
        let left_axis = left.axis;
        let right_axis = left.drawing.width + SIDE + right.axis;
        let axis = (left_axis + right_axis) / 2;
        // The head may reach beyond both sides.
        let shift = (head.axis - axis).max(0);
        let (left_axis, right_axis, axis) = (left_axis + shift, right_axis + shift, axis + shift);
        let width =
            (left.drawing.width + SIDE + right.drawing.width + shift).max(axis + head.right());
        let top = head.drawing.height;
        let body = top + GAP + 12;
        let meet = body + left.drawing.height.max(right.drawing.height) + GAP;
        let mut whole = Block {
            axis,
            ..Block::default()
        };
        for (label, x) in [(left_label, left_axis), (right_label, right_axis)] {
            let bend = top + 14;
            whole.edge(
                vec![(axis, top), (axis, bend), (x, bend), (x, body)],
                label,
                true,
            );
        }
        for (x, height) in [
            (left_axis, left.drawing.height),
            (right_axis, right.drawing.height),
        ] {
            whole.edge(vec![(x, body + height), (x, meet), (axis, meet)], "", false);
        }
        let (head_x, right_x) = (axis - head.axis, left.drawing.width + SIDE + shift);
        whole.take(head, head_x, 0);
        whole.take(left, shift, body);
        whole.take(right, right_x, body);
        whole.drawing.dots.push((axis, meet));
        whole.drawing.width = width;
        whole.drawing.height = meet + DOT;
        whole
    }
}

/// A single node.
fn boxed(kind: Kind, text: &str, note: &str) -> Block {
    let lines = wrap(text, COLUMNS, MAX_LINES);
    let note = wrap(note, COLUMNS + 5, 1)
        .into_iter()
        .next()
        .unwrap_or_default();
    let n_lines = lines.len() + usize::from(!note.is_empty());
    let height = 2 * PADDING + LINE * i32::try_from(n_lines).unwrap_or(1);
    let shape = Shape {
        kind,
        x: 0,
        y: 0,
        width: WIDTH,
        height,
        lines,
        note,
    };
    Block {
        axis: WIDTH / 2,
        drawing: Drawing {
            width: WIDTH,
            height,
            shapes: vec![shape],
            ..Drawing::default()
        },
    }
}

/// A frame around a block.
fn framed(body: Block, heading: String, is_loop: bool) -> Block {
    let heading = wrap(&heading, 64, 1).into_iter().next().unwrap_or_default();
    // About seven units for each character of the heading.
    let needed = i32::try_from(heading.chars().count()).unwrap_or(0) * 7 + 2 * FRAME;
    // Room for the line back and its word.
    let back = if is_loop { 48 } else { 0 };
    let content = body.drawing.width + 2 * FRAME + back;
    let width = content.max(needed);
    let shift = (width - content) / 2;
    let (axis, height) = (body.axis + FRAME + shift, body.drawing.height);
    let top = HEADING + GAP / 2;
    let bottom = top + height + FRAME;
    let right = FRAME + shift + body.drawing.width + 14;
    let mut whole = Block {
        axis,
        ..Block::default()
    };
    whole.drawing.frames.push(Frame {
        x: 0,
        y: 0,
        width,
        height: bottom,
        heading,
        is_loop,
    });
    whole.edge(vec![(axis, HEADING - 2), (axis, top)], "", true);
    whole.edge(vec![(axis, top + height), (axis, bottom)], "", false);
    if is_loop {
        let (low, high) = (top + height + FRAME / 2, HEADING + 4);
        whole.edge(
            vec![(axis, low), (right, low), (right, high), (axis, high)],
            "again",
            true,
        );
    }
    whole.take(body, FRAME + shift, top);
    whole.drawing.width = width;
    whole.drawing.height = bottom;
    whole
}

/// Splits a text into lines of at most `columns` characters, at spaces and after `-`, `_` and `.`
/// where possible. The last line ends in `…` if something is left out.
fn wrap(text: &str, columns: usize, max_lines: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut rest: Vec<char> = text.chars().collect();
    while !rest.is_empty() {
        if rest.len() <= columns {
            line.extend(&rest);
            rest.clear();
        } else {
            let breaks = |c: &char| [' ', '-', '_', '.'].contains(c);
            let cut = rest[..columns]
                .iter()
                .rposition(breaks)
                .map_or(columns, |at| at + 1);
            let cut = if cut * 2 < columns { columns } else { cut };
            line.extend(rest.drain(..cut));
        }
        if lines.len() + 1 == max_lines && !rest.is_empty() {
            line.pop();
            line.push('…');
            rest.clear();
        }
        lines.push(std::mem::take(&mut line).trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(name: &str) -> Value {
        json!({"kind": "step", "ref": name, "in": {"op": "path", "at": "$"}, "out": {"op": "path", "at": "$.x"}})
    }

    fn drawn(flow: &Value) -> Drawing {
        layout(flow, &|_| None)
    }

    /// No two boxes overlap, and everything lies within the drawing.
    fn check(drawing: &Drawing) {
        for shape in &drawing.shapes {
            assert!(shape.x >= 0 && shape.y >= 0, "{shape:?}");
            assert!(shape.x + shape.width <= drawing.width, "{shape:?}");
            assert!(shape.y + shape.height <= drawing.height, "{shape:?}");
        }
        for (at, a) in drawing.shapes.iter().enumerate() {
            for b in &drawing.shapes[at + 1..] {
                let apart = a.x + a.width <= b.x
                    || b.x + b.width <= a.x
                    || a.y + a.height <= b.y
                    || b.y + b.height <= a.y;
                assert!(apart, "{a:?} overlaps {b:?}");
            }
        }
        for edge in &drawing.edges {
            for (x, y) in &edge.points {
                assert!(
                    (0..=drawing.width).contains(x) && (0..=drawing.height).contains(y),
                    "{edge:?}"
                );
            }
            if let [.., (x, _), _] = edge.points[..] {
                let width = i32::try_from(edge.label.len()).expect("a short word") * 7;
                assert!(x + 6 + width <= drawing.width, "{edge:?}");
            }
        }
    }

    #[test]
    fn every_kind_of_block_has_its_own_place() {
        let path = json!({"op": "path", "at": "$.n"});
        let branch = json!({"kind": "branch", "cond": path, "then": step("a"), "else":
            {"kind": "seq", "children": [step("b"), step("c")]}});
        let fanout = json!({"kind": "fanout", "items": path, "bind": path, "body": branch, "join": "all", "out": path});
        let repeat =
            json!({"kind": "loop", "counter": path, "cond": path, "max": 3, "body": fanout});
        let caught = json!({"kind": "try", "body": repeat, "catch": step("d")});
        let change = json!({"kind": "let", "at": "$.n", "value": {"op": "lit", "value": 1}});
        let flow =
            json!({"kind": "seq", "children": [step("first"), caught, change, {"kind": "other"}]});
        let drawing = drawn(&flow);
        check(&drawing);
        assert_eq!(drawing.frames.len(), 2);
        // first, try, d, if, a, b, c, let, other
        assert_eq!(drawing.shapes.len(), 9);
        assert_eq!(
            drawing
                .edges
                .iter()
                .filter(|edge| edge.label == "again")
                .count(),
            1
        );
    }

    #[test]
    fn large_flows_are_laid_out_within_bounds() {
        let steps: Vec<Value> = (0..200).map(|n| step(&format!("agent-{n}"))).collect();
        let drawing = drawn(&json!({"kind": "seq", "children": steps}));
        check(&drawing);
        assert!(!drawing.is_cut);
        let steps: Vec<Value> = (0..1_000).map(|n| step(&format!("agent-{n}"))).collect();
        let drawing = drawn(&json!({"kind": "seq", "children": steps}));
        assert!(drawing.is_cut);
        let mut deep = step("core");
        for _ in 0..60 {
            deep = json!({"kind": "branch", "cond": {"op": "lit", "value": true}, "then": deep, "else": step("e")});
        }
        check(&drawn(&deep));
    }

    #[test]
    fn names_are_wrapped_where_they_can_be_split() {
        assert_eq!(
            wrap("a-long-name-of-an-agent", 10, 3),
            ["a-long-", "name-of-", "an-agent"]
        );
        assert_eq!(wrap("short", 10, 3), ["short"]);
        assert_eq!(
            wrap(&"x".repeat(50), 10, 2),
            ["x".repeat(10), format!("{}…", "x".repeat(9))]
        );
        assert!(wrap("", 10, 3).is_empty());
    }
}
