//! A compiled flow: paths as segments, literals as documents, agents as indices.
//!
//! `flow-ir-core` defines the schema, the syntax of paths and the semantics of expressions. Its
//! evaluator copies the whole context for every expression. Here a path expression, by far the most
//! common kind, reads a shared subtree. Any other expression is evaluated by the crate on a small
//! value with only the paths that it mentions. The semantics are therefore those of the crate, and
//! the cost does not depend on the size of the document.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_ir_core::{EvalError, Expr, JoinMode, NoExterns, Node, Path, eval_expr_with_externs};
use metrics::Histogram;
use serde_json::Value;
use shared::blueprint::{Doc, orbit};

use crate::metrics::step_timer;

/// An error in a flow that is valid flow.ir syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlanError {
    /// A step references an undeclared agent.
    UndeclaredRef(String),
    /// A write target (`out`, `bind`, `counter`, `err_at`) is not a path.
    NoPath(&'static str),
}

/// A compiled node.
#[derive(Debug)]
pub(super) enum Plan {
    /// Runs agent number `agent` on `input` and writes its output to `out`.
    Step {
        name: Arc<str>,
        timer: Histogram,
        agent: usize,
        input: ExprPlan,
        out: PathPlan,
    },
    /// Runs the nodes in order.
    Seq(Vec<Plan>),
    /// Runs `then` or `otherwise`, depending on a boolean.
    Branch {
        cond: ExprPlan,
        then: Box<Plan>,
        otherwise: Box<Plan>,
    },
    /// Runs `body` for each item, concurrently, each in its own context.
    Fanout {
        items: ExprPlan,
        bind: PathPlan,
        body: Box<Plan>,
        join: JoinMode,
        out: PathPlan,
    },
    /// Runs `body` while `cond` is truthy, at most `max` times.
    Loop {
        counter: PathPlan,
        cond: ExprPlan,
        body: Box<Plan>,
        max: u32,
    },
    /// Runs `catch` if `body` fails permanently, on the context as it was before `body`.
    Try {
        body: Box<Plan>,
        catch: Box<Plan>,
        err_at: Option<PathPlan>,
    },
    /// Writes the value of an expression.
    Let { at: PathPlan, value: ExprPlan },
}

impl Plan {
    /// Compiles `node`. `agent_index` returns the index of an agent by its name.
    ///
    /// # Errors
    /// [`PlanError`] if a step references an undeclared agent, or a write target is not a path.
    pub(super) fn compile(
        node: &Node,
        agent_index: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<Plan, PlanError> {
        let child = |n: &Node| Plan::compile(n, agent_index).map(Box::new);
        Ok(match node {
            Node::Step { ref_, in_, out } => Plan::Step {
                name: ref_.as_str().into(),
                timer: step_timer(ref_),
                agent: agent_index(ref_).ok_or_else(|| PlanError::UndeclaredRef(ref_.clone()))?,
                input: ExprPlan::compile(in_),
                out: target(out, "step.out")?,
            },
            Node::Seq { children } => Plan::Seq(
                children
                    .iter()
                    .map(|n| Plan::compile(n, agent_index))
                    .collect::<Result<_, _>>()?,
            ),
            Node::Branch { cond, then_, else_ } => Plan::Branch {
                cond: ExprPlan::compile(cond),
                then: child(then_)?,
                otherwise: child(else_)?,
            },
            Node::Fanout {
                items,
                bind,
                body,
                join,
                out,
            } => Plan::Fanout {
                items: ExprPlan::compile(items),
                bind: target(bind, "fanout.bind")?,
                body: child(body)?,
                join: *join,
                out: target(out, "fanout.out")?,
            },
            Node::Loop {
                counter,
                cond,
                body,
                max,
            } => Plan::Loop {
                counter: target(counter, "loop.counter")?,
                cond: ExprPlan::compile(cond),
                body: child(body)?,
                max: *max,
            },
            Node::Try {
                body,
                catch,
                err_at,
            } => Plan::Try {
                body: child(body)?,
                catch: child(catch)?,
                err_at: err_at
                    .as_ref()
                    .map(|e| target(e, "try.err_at"))
                    .transpose()?,
            },
            Node::Let { at, value } => Plan::Let {
                at: PathPlan::compile(at),
                value: ExprPlan::compile(value),
            },
        })
    }
}

fn target(expr: &Expr, place: &'static str) -> Result<PathPlan, PlanError> {
    match expr {
        Expr::Path { at } => Ok(PathPlan::compile(at)),
        _ => Err(PlanError::NoPath(place)),
    }
}

/// A path, split into its segments.
#[derive(Debug)]
pub(super) struct PathPlan {
    path: Path,
    segments: Vec<Arc<str>>,
}

impl PathPlan {
    fn compile(path: &Path) -> PathPlan {
        let segments = orbit::segments(path).into_iter();
        PathPlan {
            path: path.clone(),
            segments: segments.map(Arc::from).collect(),
        }
    }

    /// Returns the value at this path.
    ///
    /// # Errors
    /// [`EvalError::PathNotFound`] if the path does not exist.
    pub(super) fn read<'a>(&self, ctx: &'a Doc) -> Result<&'a Doc, EvalError> {
        self.find(ctx)
            .ok_or_else(|| EvalError::PathNotFound(self.path.to_string()))
    }

    /// True if this path is the member `name` of the context.
    pub(super) fn is_member(&self, name: &str) -> bool {
        matches!(&self.segments[..], [only] if **only == *name)
    }

    fn find<'a>(&self, ctx: &'a Doc) -> Option<&'a Doc> {
        self.segments.iter().try_fold(ctx, |at, key| at.get(key))
    }

    /// Writes `value` to this path.
    ///
    /// Creates objects on the path that are missing or `null`. Copies only the containers on the
    /// path, and only if they are shared.
    ///
    /// # Errors
    /// [`EvalError::TypeError`] if a value on the path is neither an object nor `null`. `ctx` is
    /// then unchanged.
    pub(super) fn write(&self, ctx: &mut Doc, value: Doc) -> Result<(), EvalError> {
        let mut at = ctx;
        for key in &self.segments {
            if matches!(at, Doc::Null) {
                *at = Doc::Object(Arc::new(BTreeMap::new()));
            }
            let Doc::Object(map) = at else {
                return Err(EvalError::TypeError {
                    op: "write".into(),
                    msg: format!("{}: {key:?} would go into {}", self.path, at.kind()),
                });
            };
            at = Arc::make_mut(map).entry(key.clone()).or_default();
        }
        *at = value;
        Ok(())
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(super) enum ExprPlan {
    /// A path, which is read without a copy.
    Path(PathPlan),
    /// A literal.
    Lit(Doc),
    /// Any other expression: the crate evaluates it on the paths that it mentions.
    Other { expr: Expr, reads: Vec<PathPlan> },
}

impl ExprPlan {
    fn compile(expr: &Expr) -> ExprPlan {
        match expr {
            Expr::Path { at } => ExprPlan::Path(PathPlan::compile(at)),
            Expr::Lit { value } => match Doc::try_from(value) {
                Ok(doc) => ExprPlan::Lit(doc),
                Err(_) => ExprPlan::Other {
                    expr: expr.clone(),
                    reads: Vec::new(),
                },
            },
            _ => {
                let mut reads = Vec::new();
                collect_paths(expr, &mut reads);
                ExprPlan::Other {
                    expr: expr.clone(),
                    reads,
                }
            }
        }
    }

    /// Evaluates this expression in `ctx`.
    ///
    /// # Errors
    /// The error of `flow-ir-core`.
    pub(super) fn eval(&self, ctx: &Doc) -> Result<Doc, EvalError> {
        match self {
            ExprPlan::Path(path) => path.read(ctx).cloned(),
            ExprPlan::Lit(doc) => Ok(doc.clone()),
            ExprPlan::Other { expr, reads } => {
                let mut small = Value::Null;
                for path in reads {
                    if let Some(found) = path.find(ctx) {
                        path.path.write(&mut small, Value::from(found))?;
                    }
                }
                let result = eval_expr_with_externs(expr, &small, &NoExterns)?;
                Doc::try_from(&result).map_err(|error| EvalError::ArithError {
                    op: "result".into(),
                    msg: error.to_string(),
                })
            }
        }
    }
}

/// Collects every path in `expr`, shorter ones first. A longer path below a shorter one then finds
/// its value already present, and the write changes nothing.
fn collect_paths(expr: &Expr, into: &mut Vec<PathPlan>) {
    walk(expr, &mut |path| {
        if !into.iter().any(|known| known.path == *path) {
            into.push(PathPlan::compile(path));
        }
    });
    into.sort_by_key(|p| p.segments.len());
}

fn walk(expr: &Expr, found: &mut dyn FnMut(&Path)) {
    match expr {
        Expr::Path { at } => found(at),
        Expr::Lit { .. } => {}
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
            walk(lhs, found);
            walk(rhs, found);
        }
        Expr::Not { arg } | Expr::Exists { arg } | Expr::Len { arg } => walk(arg, found),
        Expr::And { args } | Expr::Or { args } | Expr::CallExtern { args, .. } => {
            args.iter().for_each(|arg| walk(arg, found));
        }
        Expr::In { needle, haystack } => {
            walk(needle, found);
            walk(haystack, found);
        }
    }
}
