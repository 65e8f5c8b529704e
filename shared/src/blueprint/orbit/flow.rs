//! Parses a flow as flow.ir and checks in one pass that it can be evaluated and can decide.

use flow_ir_core::{Expr, JoinMode, Node, Path};
use serde_json::Value;

use crate::blueprint::doc::Doc;
use crate::blueprint::orbit::obstacle::Obstacle;

/// The member of the context for the decision.
const COMMIT: &str = "commit";

/// Parses `flow` and records its obstacles; `declared` has the names of the agents. Returns `None`
/// if it is not valid flow.ir.
pub(super) fn read(flow: &Doc, declared: &[&str], obstacles: &mut Vec<Obstacle>) -> Option<Node> {
    let node: Node = match serde_json::from_value(Value::from(flow)) {
        Ok(node) => node,
        Err(error) => {
            let problem = error.to_string();
            obstacles.push(Obstacle::Flow { problem });
            return None;
        }
    };
    let mut walk = Walk {
        declared,
        obstacles,
        commits: false,
    };
    walk.node(&node, true);
    if !walk.commits {
        walk.note(Obstacle::NeverCommits);
    }
    Some(node)
}

struct Walk<'a> {
    declared: &'a [&'a str],
    obstacles: &'a mut Vec<Obstacle>,
    /// True if some node can write the decision.
    commits: bool,
}

impl Walk<'_> {
    /// Records an obstacle once.
    fn note(&mut self, obstacle: Obstacle) {
        if !self.obstacles.contains(&obstacle) {
            self.obstacles.push(obstacle);
        }
    }

    /// `is_kept`: true if the node's output remains in the context after the flow.
    fn node(&mut self, node: &Node, is_kept: bool) {
        match node {
            Node::Step { ref_, in_, out } => {
                if !self.declared.contains(&ref_.as_str()) {
                    let declared = self.declared.iter().map(|name| (*name).to_owned());
                    let declared = declared.collect();
                    self.note(Obstacle::UndeclaredAgent {
                        step: ref_.clone(),
                        declared,
                    });
                }
                self.expr(in_);
                let out = self.target(out, || format!("step {ref_:?}.out"));
                self.commits |= is_kept && out.is_some_and(|at| writes_commit(&at));
            }
            Node::Seq { children } => {
                for child in children {
                    self.node(child, is_kept);
                }
            }
            Node::Branch { cond, then_, else_ } => {
                self.expr(cond);
                self.node(then_, is_kept);
                self.node(else_, is_kept);
            }
            Node::Fanout {
                items,
                bind,
                body,
                join,
                out,
            } => {
                self.expr(items);
                self.target(bind, || "fanout.bind".to_owned());
                let out = self.target(out, || "fanout.out".to_owned());
                // Each branch has its own context. `any` and `race` return the context of one
                // branch.
                let is_one = matches!(join, JoinMode::Any | JoinMode::Race);
                let replaces = out.as_ref().is_some_and(Vec::is_empty) && is_one;
                self.node(body, is_kept && replaces);
                // An array is not a decision but can be a member of one.
                let fits = |at: &Vec<String>| !at.is_empty() && (is_one || at.len() > 1);
                self.commits |= is_kept && out.is_some_and(|at| fits(&at) && writes_commit(&at));
            }
            Node::Loop {
                counter,
                cond,
                body,
                max,
            } => {
                self.target(counter, || "loop.counter".to_owned());
                self.expr(cond);
                self.node(body, is_kept && *max > 0);
            }
            Node::Try {
                body,
                catch,
                err_at,
            } => {
                self.node(body, is_kept);
                self.node(catch, is_kept);
                if let Some(err_at) = err_at {
                    self.target(err_at, || "try.err_at".to_owned());
                }
            }
            Node::Let { at, value } => {
                self.expr(value);
                self.commits |= is_kept && writes_commit(&segments(at));
            }
        }
    }

    /// Returns the segments of a write target; records an obstacle if it is not a path.
    fn target(&mut self, expr: &Expr, place: impl FnOnce() -> String) -> Option<Vec<String>> {
        match expr {
            Expr::Path { at } => Some(segments(at)),
            other => {
                self.note(Obstacle::NotAPath { place: place() });
                self.expr(other);
                None
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Path { .. } | Expr::Lit { .. } => {}
            Expr::Eq { lhs, rhs }
            | Expr::Ne { lhs, rhs }
            | Expr::Lt { lhs, rhs }
            | Expr::Lte { lhs, rhs }
            | Expr::Gt { lhs, rhs }
            | Expr::Gte { lhs, rhs }
            | Expr::Add { lhs, rhs }
            | Expr::Sub { lhs, rhs }
            | Expr::Mul { lhs, rhs }
            | Expr::Div { lhs, rhs }
            | Expr::Mod { lhs, rhs } => {
                self.expr(lhs);
                self.expr(rhs);
            }
            Expr::Not { arg } | Expr::Exists { arg } | Expr::Len { arg } => self.expr(arg),
            Expr::And { args } | Expr::Or { args } => args.iter().for_each(|arg| self.expr(arg)),
            Expr::In { needle, haystack } => {
                self.expr(needle);
                self.expr(haystack);
            }
            Expr::CallExtern { ref_, args } => {
                self.note(Obstacle::CallExtern { name: ref_.clone() });
                args.iter().for_each(|arg| self.expr(arg));
            }
        }
    }
}

/// Returns true if a write to this path can set `$.commit`: that path, one below it, or the root.
fn writes_commit(at: &[String]) -> bool {
    at.first().is_none_or(|first| first == COMMIT)
}

/// Returns the keys of a path from the root. `flow_ir_core` does not expose them. But a write
/// through a path into null creates one nested object for each key.
pub fn segments(path: &Path) -> Vec<String> {
    let mut probe = Value::Null;
    let mut segments = Vec::new();
    // Cannot fail, because every object on the path is new.
    if path.write(&mut probe, Value::Null).is_ok() {
        let mut at = &probe;
        while let Some((key, next)) = at.as_object().and_then(|object| object.iter().next()) {
            segments.push(key.clone());
            at = next;
        }
    }
    segments
}
