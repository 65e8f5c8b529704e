//! Runs a compiled flow on a shared context.
//!
//! The context is a [`Doc`]. A branch of a fanout gets a clone, which costs one reference count. A
//! write copies only the containers on its path. Branches run concurrently on the task of the flow;
//! agents use thread pools where they need them.
//!
//! `try` and the joins `any` and `all_settled` catch errors that a flow may handle: a permanent
//! failure of a step, or a missing path. The time limit, a cancellation and a temporary fault end
//! the whole evaluation, because the issue is then undecided. [`FlowError::is_caught_by_try`] makes
//! the distinction. There is one exception: under `any`, a branch that succeeds takes priority over
//! a branch with a temporary fault.

use std::sync::Arc;
use std::time::Instant;

use flow_ir_core::{EvalError, JoinMode};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all, select_all, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use shared::blueprint::{Doc, Num};
use shared::telemetry::trace;
use tracing::Instrument;

use crate::flow::agents::Agent;
use crate::flow::error::FlowError;
use crate::flow::meter::Meter;
use crate::flow::plan::{ExprPlan, PathPlan, Plan};
use crate::flow::run_state::RunState;
use crate::flow::step_context::StepContext;

/// Runs `plan` on `ctx`, which then contains the result.
///
/// # Errors
/// Returns the first [`FlowError`] that the flow does not catch. `ctx` then contains all writes up
/// to that point.
///
/// Cancel safety: dropping the future drops every running step.
pub(super) fn evaluate<'a>(
    plan: &'a Plan,
    ctx: &'a mut Doc,
    agents: &'a [Arc<dyn Agent>],
    run: &'a Arc<RunState>,
) -> BoxFuture<'a, Result<(), FlowError>> {
    async move {
        match plan {
            Plan::Step {
                name,
                timer,
                agent,
                input,
                out,
            } => {
                if let Some(output) = run.stored_output(name, out.is_member("patch")) {
                    return Ok(out.write(ctx, output)?);
                }
                let input = input.eval(ctx)?;
                let meter = Meter::of(name, run);
                let cx = StepContext {
                    step: name,
                    run,
                    meter: &meter,
                };
                let (began, open) = (Instant::now(), run.begin_step(name, ctx));
                let span = tracing::debug_span!(target: trace::TARGET, "step", otel.name = &**name);
                let result = agents[*agent].run(input, &cx).instrument(span).await;
                timer.record(began.elapsed());
                if let (Some(open), Ok(_)) = (open, &result) {
                    open.finish();
                }
                let output = result.map_err(|source| FlowError::Step {
                    step: name.to_string(),
                    source,
                })?;
                Ok(out.write(ctx, output)?)
            }
            Plan::Seq(children) => {
                for child in children {
                    evaluate(child, ctx, agents, run).await?;
                }
                Ok(())
            }
            Plan::Branch {
                cond,
                then,
                otherwise,
            } => match cond.eval(ctx)? {
                Doc::Bool(true) => evaluate(then, ctx, agents, run).await,
                Doc::Bool(false) => evaluate(otherwise, ctx, agents, run).await,
                other => Err(FlowError::Eval(EvalError::TypeError {
                    op: "branch.cond".into(),
                    msg: format!("expected a boolean, got {}", other.kind()),
                })),
            },
            Plan::Fanout {
                items,
                bind,
                body,
                join,
                out,
            } => {
                let joined =
                    fanout(Branches::new(items, bind, ctx)?, body, *join, agents, run).await?;
                Ok(out.write(ctx, joined)?)
            }
            Plan::Loop {
                counter,
                cond,
                body,
                max,
            } => {
                counter.write(ctx, Doc::from(0))?;
                for n in 1..=*max {
                    if !is_truthy(&cond.eval(ctx)?) {
                        break;
                    }
                    evaluate(body, ctx, agents, run).await?;
                    counter.write(ctx, Doc::Num(Num::Int(n.into())))?;
                    // Yields to other tasks even if the body of the loop never waits.
                    tokio::task::coop::consume_budget().await;
                }
                Ok(())
            }
            Plan::Try {
                body,
                catch,
                err_at,
            } => {
                let before = ctx.clone();
                match evaluate(body, ctx, agents, run).await {
                    Err(error) if error.is_caught_by_try() => {
                        *ctx = before;
                        if let Some(at) = err_at {
                            at.write(ctx, Doc::from(error.to_string()))?;
                        }
                        evaluate(catch, ctx, agents, run).await
                    }
                    other => other,
                }
            }
            Plan::Let { at, value } => {
                let value = value.eval(ctx)?;
                Ok(at.write(ctx, value)?)
            }
        }
    }
    .boxed()
}

/// The initial contexts of a fanout's branches, in the order of the items.
struct Branches(Vec<Doc>);

impl Branches {
    fn new(items: &ExprPlan, bind: &PathPlan, ctx: &Doc) -> Result<Branches, EvalError> {
        let items = items.eval(ctx)?;
        let Doc::Array(items) = &items else {
            return Err(EvalError::TypeError {
                op: "fanout.items".into(),
                msg: format!("expected an array, got {}", items.kind()),
            });
        };
        items
            .iter()
            .map(|item| {
                let mut branch = ctx.clone();
                bind.write(&mut branch, item.clone())?;
                Ok(branch)
            })
            .collect::<Result<_, _>>()
            .map(Branches)
    }
}

async fn fanout(
    Branches(branches): Branches,
    body: &Plan,
    join: JoinMode,
    agents: &[Arc<dyn Agent>],
    run: &Arc<RunState>,
) -> Result<Doc, FlowError> {
    let op = match join {
        JoinMode::Any => "fanout.any",
        JoinMode::Race => "fanout.race",
        JoinMode::All | JoinMode::AllSettled => "fanout",
    };
    if branches.is_empty() && matches!(join, JoinMode::Any | JoinMode::Race) {
        return Err(FlowError::Eval(EvalError::TypeError {
            op: op.into(),
            msg: "requires at least one item".into(),
        }));
    }
    let mut running = branches.into_iter().map(|mut branch| {
        async move {
            evaluate(body, &mut branch, agents, run).await?;
            Ok(branch)
        }
        .boxed()
    });
    match join {
        JoinMode::All => Ok(Doc::array(try_join_all(running).await?)),
        JoinMode::Any => first_success(running.collect()).await,
        JoinMode::Race => match running.len() {
            1 => running.next().expect("invariant: just counted").await,
            _ => select_all(running).await.0,
        },
        JoinMode::AllSettled => {
            let settled =
                join_all(running)
                    .await
                    .into_iter()
                    .map(|result: Result<Doc, FlowError>| match result {
                        Ok(ctx) => Ok(Doc::object([
                            ("status", Doc::from("fulfilled")),
                            ("value", ctx),
                        ])),
                        Err(error) if error.is_caught_by_try() => Ok(Doc::object([
                            ("status", Doc::from("rejected")),
                            ("reason", Doc::from(error.to_string())),
                        ])),
                        Err(error) => Err(error),
                    });
            Ok(Doc::array(settled.collect::<Result<_, _>>()?))
        }
    }
}

/// Returns the first branch that succeeds. If none does, returns the last error; an error that
/// `try` does not catch has priority.
async fn first_success(
    mut running: FuturesUnordered<BoxFuture<'_, Result<Doc, FlowError>>>,
) -> Result<Doc, FlowError> {
    let mut last: Option<FlowError> = None;
    while let Some(result) = running.next().await {
        match result {
            Ok(ctx) => return Ok(ctx),
            Err(error) => {
                if last.as_ref().is_none_or(FlowError::is_caught_by_try) {
                    last = Some(error);
                }
            }
        }
    }
    Err(last.unwrap_or(FlowError::Eval(EvalError::TypeError {
        op: "fanout.any".into(),
        msg: "requires at least one item".into(),
    })))
}

/// Follows flow.ir: every value except `null` and `false` is truthy.
fn is_truthy(doc: &Doc) -> bool {
    !matches!(doc, Doc::Null | Doc::Bool(false))
}
