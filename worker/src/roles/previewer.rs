//! Runs previews: the whole flow on the current head. It writes nothing except the answer.
//!
//! Previews have their own list, connection and slots. Previews and issues therefore do not wait
//! for each other. A request runs at most once: if a worker dies or stops after it took a request,
//! the request is lost and the caller asks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::blueprint::{Blueprint, diff, json, patch, yaml};
use shared::domain::preview::{
    MAX_PREVIEW_BYTES, OrbitTrial, Preview, PreviewAnswer, PreviewRequest,
};
use shared::domain::version_selector::VersionSelector;
use shared::error::chain;
use shared::fail_point;
use shared::store::{ConnectionId, IssueRef, PopHandle, StoreError};
use shared::telemetry::trace;
use shared::whole_ms::whole_ms;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::flow::{Decision, FlowError, Memory, TrialOutcome};
use crate::issue::dispatcher::Dispatcher;
use crate::issue::launch::LaunchError;
use crate::issue::settlement::failed_reason;
use crate::metrics;
use crate::pause::{Pause, RepeatedErrorLog};
use crate::roles::background_loop;
use crate::roles::running_previews::RunningPreviews;

/// Number of previews that a worker runs at the same time. It is small because issues have
/// priority.
const SLOTS: usize = 2;
/// The duration of a blocking pop.
const BLOCK: Duration = Duration::from_secs(1);

/// The previewer role.
pub(crate) struct Previewer {
    pub(crate) dispatcher: Arc<Dispatcher>,
    /// The previews that run.
    pub(crate) previews: RunningPreviews,
    /// Time that open previews have to finish after `stop`.
    pub(crate) grace: Duration,
    pub(crate) stop: CancellationToken,
}

impl Previewer {
    /// Takes requests until `stop`, then lets running previews finish within the grace period.
    pub(crate) async fn run(self) {
        let slots = Arc::new(Semaphore::new(SLOTS));
        let (running, cancel) = (TaskTracker::new(), CancellationToken::new());
        let mut link: Option<PopHandle> = None;
        let mut broken: Option<ConnectionId> = None;
        let (mut error_log, mut pause) = (RepeatedErrorLog::default(), Pause::default());
        while !self.stop.is_cancelled() {
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot,
                () = self.stop.cancelled() => break,
            };
            let Ok(slot) = slot else { break };
            match self.take(&mut link, &mut broken).await {
                Ok(None) => pause.reset(),
                Ok(Some(text)) => {
                    pause.reset();
                    let (dispatcher, cancel) = (Arc::clone(&self.dispatcher), cancel.clone());
                    let previews = self.previews.clone();
                    running.spawn(async move {
                        handle(&dispatcher, &previews, &text, &cancel).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    error_log.log("previewer", &error);
                    broken = link.take().map(|link| link.id().clone()).or(broken);
                    pause.wait().await;
                }
            }
        }
        running.close();
        if tokio::time::timeout(self.grace, running.wait())
            .await
            .is_err()
        {
            cancel.cancel();
            running.wait().await;
        }
    }

    /// Returns the next request, if one arrived. A failed connection may still take a request, so
    /// it is killed first.
    async fn take(
        &self,
        link: &mut Option<PopHandle>,
        broken: &mut Option<ConnectionId>,
    ) -> Result<Option<String>, StoreError> {
        let home = self.dispatcher.store.home();
        if let Some(id) = broken {
            home.kill_connection(id).await?;
            *broken = None;
        }
        if link.is_none() {
            *link = Some(home.handle().pop_handle(BLOCK).await?);
        }
        let Some(open) = link.as_mut() else {
            return Ok(None);
        };
        let (id, list) = (open.id().clone(), home.keys().previews());
        background_loop::blocking(home, &id, &self.stop, open.take(&list)).await
    }
}

/// Runs one request, if its caller still waits, and stores the answer.
async fn handle(
    dispatcher: &Dispatcher,
    previews: &RunningPreviews,
    text: &str,
    cancel: &CancellationToken,
) {
    fail_point::pass("preview.taken");
    let request = match dispatcher.store.home().open_preview(text).await {
        Ok(Some(request)) => request,
        Ok(None) => {
            tracing::debug!("this preview request has expired; not run");
            return;
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "a preview request is invalid");
            return;
        }
    };
    let running = previews.begin(&request.id, cancel);
    let began = Instant::now();
    let deadline = began + request.time_limit;
    let span = tracing::info_span!("preview", preview_id = %request.id);
    if let Some(parent) = &request.trace {
        trace::continue_from(&span, parent);
    }
    let run = run(dispatcher, &request, running.token()).instrument(span);
    let Ok(answer) = tokio::time::timeout_at(deadline.into(), run).await else {
        metrics::previewed("abandoned", began.elapsed());
        tracing::debug!(preview_id = %request.id, "preview exceeded its time limit; stopped");
        return;
    };
    if running.token().is_cancelled() && !cancel.is_cancelled() {
        metrics::previewed("abandoned", began.elapsed());
        tracing::info!(preview_id = %request.id, "the caller of this preview is gone; stopped");
        return;
    }
    let outcome = outcome(&answer);
    metrics::previewed(outcome, began.elapsed());
    tracing::info!(preview_id = %request.id, blueprint_id = %request.blueprint_id, outcome, "previewed");
    let mut pause = Pause::default();
    while Instant::now() < deadline {
        match dispatcher
            .store
            .home()
            .answer_preview(&request.id, &answer)
            .await
        {
            Ok(()) => return,
            Err(error) if error.is_retryable() => pause.wait().await,
            Err(error) => {
                tracing::error!(preview_id = %request.id, error = chain(&error), "could not answer");
                return;
            }
        }
    }
}

fn outcome(answer: &PreviewAnswer) -> &'static str {
    match answer {
        PreviewAnswer::Decided(preview) if preview.needs_review => "needs_review",
        PreviewAnswer::Decided(preview) if preview.would_apply => "would_apply",
        PreviewAnswer::Decided(_) => "would_be_denied",
        PreviewAnswer::Failed { .. } => "failed",
        PreviewAnswer::Fault { .. } => "transient_fault",
        PreviewAnswer::UnknownTarget => "unknown_target",
        PreviewAnswer::Archived => "archived",
        PreviewAnswer::TooLarge { .. } => "too_large",
    }
}

async fn run(
    dispatcher: &Dispatcher,
    request: &PreviewRequest,
    cancel: &CancellationToken,
) -> PreviewAnswer {
    if let Some(trial) = &request.trial {
        return try_orbit(dispatcher, trial, cancel).await;
    }
    match try_run(dispatcher, request, cancel).await {
        Ok(answer) => answer,
        Err(LaunchError::Store(error)) if error.is_retryable() => PreviewAnswer::Fault {
            problem: chain(&error),
            retry_after_ms: None,
        },
        Err(error) => PreviewAnswer::Failed {
            reason: failed_reason(&chain(&error)),
        },
    }
}

/// Tests an orbit before it is written.
async fn try_orbit(
    dispatcher: &Dispatcher,
    trial: &OrbitTrial,
    cancel: &CancellationToken,
) -> PreviewAnswer {
    let host = &dispatcher.host;
    match host.try_orbit(&trial.orbit, &trial.setting, cancel).await {
        TrialOutcome::Decided => PreviewAnswer::Decided(Preview::default()),
        TrialOutcome::Failed(reason) => PreviewAnswer::Failed { reason },
        TrialOutcome::Unknown(problem) => PreviewAnswer::Fault {
            problem,
            retry_after_ms: None,
        },
    }
}

async fn try_run(
    dispatcher: &Dispatcher,
    request: &PreviewRequest,
    cancel: &CancellationToken,
) -> Result<PreviewAnswer, LaunchError> {
    let shard = dispatcher.store.of(&request.blueprint_id);
    let Some(head) = shard.summary(&request.blueprint_id).await? else {
        return Ok(PreviewAnswer::UnknownTarget);
    };
    if head.archived {
        return Ok(PreviewAnswer::Archived);
    }
    let known = dispatcher.documents.get(&request.blueprint_id);
    let prev = match known.filter(|known| *known.version() == head.head) {
        Some(known) => known,
        None => {
            let latest = VersionSelector::Latest;
            let found = shard.blueprint(&request.blueprint_id, &latest);
            match found.await? {
                Some(found) => found.blueprint,
                None => return Ok(PreviewAnswer::UnknownTarget),
            }
        }
    };
    let launch = dispatcher.orbits.now(&request.blueprint_id).await?;
    let issue = IssueRef {
        blueprint_id: request.blueprint_id.clone(),
        issue_id: request.id.clone(),
    };
    let memory = Memory::of_preview(dispatcher.store.clone(), request.blueprint_id.clone());
    let input = launch.input(
        issue,
        request.intent.clone(),
        Arc::clone(&prev),
        request.taken_at_ms,
        memory,
    );
    let (host, store) = (Arc::clone(&dispatcher.host), dispatcher.store.clone());
    let cancel = cancel.clone();
    let running = async move { launch.run(&host, &store, input, &cancel).await };
    let outcome = dispatcher.flows.run(running).await;
    Ok(match outcome.decision {
        Ok(decision) => {
            // On a blocking thread: comparing two large documents may take long.
            let patch_json = outcome.patch_json;
            let comparing =
                tokio::task::spawn_blocking(move || compare(&prev, decision, &patch_json));
            comparing
                .await
                .unwrap_or_else(|panic| PreviewAnswer::Failed {
                    reason: failed_reason(&format!("the documents could not be compared: {panic}")),
                })
        }
        Err(FlowError::Cancelled) => PreviewAnswer::Fault {
            problem: "the worker that ran it is shutting down".to_owned(),
            retry_after_ms: None,
        },
        Err(error) if error.is_transient() => PreviewAnswer::Fault {
            problem: chain(&error),
            retry_after_ms: error.retry_after().map(whole_ms),
        },
        Err(error) => PreviewAnswer::Failed {
            reason: failed_reason(&chain(&error)),
        },
    })
}

/// Returns the changes that a decision would make. `patch_json` is the spawner's proposal.
fn compare(prev: &Blueprint, decision: Decision, patch_json: &str) -> PreviewAnswer {
    let preview = match decision {
        Decision::Commit {
            blueprint,
            rationale,
            verdicts,
            review,
            ..
        } => Preview {
            would_apply: true,
            json_patch: json::emit(&diff::json_patch(prev.doc(), blueprint.doc())),
            unified_diff: unified(prev, blueprint.canonical_yaml()),
            rationale,
            verdicts,
            needs_review: !review.is_empty(),
            reasons: review,
        },
        Decision::Deny {
            reasons,
            verdicts,
            rationale,
        } => {
            // Shows the proposed change if it applies, so that the author sees what was denied.
            let proposed = json::parse(patch_json).ok();
            let proposed = proposed.and_then(|ops| patch::apply(prev.doc(), &ops).ok());
            let text = proposed.as_ref().and_then(|doc| yaml::emit(doc).ok());
            Preview {
                would_apply: false,
                json_patch: proposed.map_or_else(
                    || "[]".to_owned(),
                    |doc| json::emit(&diff::json_patch(prev.doc(), &doc)),
                ),
                unified_diff: text.map_or_else(String::new, |text| unified(prev, &text)),
                rationale,
                verdicts,
                reasons,
                needs_review: false,
            }
        }
    };
    match preview.n_bytes() {
        bytes if bytes > MAX_PREVIEW_BYTES => PreviewAnswer::TooLarge { bytes },
        _ => PreviewAnswer::Decided(preview),
    }
}

fn unified(prev: &Blueprint, new_yaml: &str) -> String {
    diff::unified(
        prev.canonical_yaml(),
        new_yaml,
        prev.version().as_str(),
        "preview",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint(note: &str) -> Blueprint {
        let text = format!("id: b\nflow: {{}}\nagents: []\nnote: {note:?}\n");
        Blueprint::parse(&text).unwrap()
    }

    fn denied() -> Decision {
        Decision::Deny {
            reasons: vec!["noop: nothing changed".to_owned()],
            verdicts: Vec::new(),
            rationale: String::new(),
        }
    }

    fn committed(blueprint: &Arc<Blueprint>, rationale: String) -> Decision {
        Decision::Commit {
            blueprint: Arc::clone(blueprint),
            bump: "patch".to_owned(),
            rationale,
            verdicts: Vec::new(),
            patch_hash: String::new(),
            review: Vec::new(),
        }
    }

    #[test]
    fn a_denial_shows_what_was_proposed_as_far_as_it_applies() {
        let prev = blueprint("old");
        let proposal = r#"[{"op":"replace","path":"/note","value":"new"}]"#;
        let PreviewAnswer::Decided(preview) = compare(&prev, denied(), proposal) else {
            panic!("a small preview");
        };
        assert_eq!(preview.json_patch, proposal);
        assert!(preview.unified_diff.contains("+note: new"), "{preview:?}");
        for nothing in ["", "{}", r#"[{"op":"remove","path":"/nowhere"}]"#] {
            let PreviewAnswer::Decided(preview) = compare(&prev, denied(), nothing) else {
                panic!("a small preview");
            };
            assert_eq!(
                (preview.json_patch.as_str(), preview.unified_diff.as_str()),
                ("[]", "")
            );
        }
    }

    #[test]
    fn what_does_not_fit_an_answer_is_told_by_its_size() {
        let new = Arc::new(blueprint(&"n".repeat(900_000)));
        let old = blueprint(&"o".repeat(900_000));
        let small = compare(&old, committed(&new, String::new()), "");
        let PreviewAnswer::Decided(preview) = small else {
            panic!("below the limit");
        };
        assert!(preview.would_apply);
        let large = compare(&old, committed(&new, "r".repeat(MAX_PREVIEW_BYTES)), "");
        assert!(matches!(large, PreviewAnswer::TooLarge { bytes } if bytes > MAX_PREVIEW_BYTES));
    }
}
