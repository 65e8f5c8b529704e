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

use crate::flow::{Decision, FlowReport, Memory, TrialOutcome};
use crate::issue::attempt::{Attempt, Ran};
use crate::issue::dispatch::Dispatcher;
use crate::issue::orbits::LaunchError;
use crate::issue::run_outcome::failed_reason;
use crate::metrics;
use crate::pause::{Pause, RepeatedErrorLog};
use crate::roles::background_loop;

/// Number of previews that a worker runs at the same time. It is small because issues have
/// priority.
const SLOTS: usize = 2;
/// The duration of a blocking pop.
const BLOCK: Duration = Duration::from_secs(1);

/// The previewer role.
pub(crate) struct Previewer {
    pub(crate) dispatcher: Arc<Dispatcher>,
    /// Time that open previews have to finish after `stop`.
    pub(crate) grace: Duration,
    pub(crate) stop: CancellationToken,
}

impl Previewer {
    /// Takes requests until `stop`, then lets running previews finish within the grace period.
    pub(crate) async fn run(self) {
        let slots = Arc::new(Semaphore::new(SLOTS));
        let (running, hurry) = (TaskTracker::new(), CancellationToken::new());
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
                    let (dispatcher, hurry) = (Arc::clone(&self.dispatcher), hurry.clone());
                    running.spawn(async move {
                        meet(&dispatcher, &text, &hurry).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    error_log.about("previewer", &error);
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
            hurry.cancel();
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
async fn meet(dispatcher: &Dispatcher, text: &str, hurry: &CancellationToken) {
    fail_point::pass("preview.taken");
    let request = match dispatcher.store.home().open_preview(text).await {
        Ok(Some(request)) => request,
        Ok(None) => {
            tracing::debug!("a preview that nobody waits for any more; not run");
            return;
        }
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "a preview request that cannot be read"
            );
            return;
        }
    };
    let began = Instant::now();
    let deadline = began + request.time_limit;
    let span = tracing::info_span!("preview", preview_id = %request.id);
    if let Some(parent) = &request.trace {
        trace::continue_from(&span, parent);
    }
    let run = run(dispatcher, &request, hurry).instrument(span);
    let Ok(answer) = tokio::time::timeout_at(deadline.into(), run).await else {
        metrics::previewed("abandoned", began.elapsed());
        tracing::debug!(preview_id = %request.id, "nobody waits for this preview any more; stopped");
        return;
    };
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
        PreviewAnswer::Decided(preview) if preview.would_apply => "would_apply",
        PreviewAnswer::Decided(_) => "would_be_denied",
        PreviewAnswer::Failed { .. } => "failed",
        PreviewAnswer::Fault { .. } => "temporary_error",
        PreviewAnswer::UnknownTarget => "unknown_target",
        PreviewAnswer::Archived => "archived",
        PreviewAnswer::TooLarge { .. } => "too_large",
    }
}

async fn run(
    dispatcher: &Dispatcher,
    request: &PreviewRequest,
    hurry: &CancellationToken,
) -> PreviewAnswer {
    if let Some(trial) = &request.trial {
        return try_orbit(dispatcher, trial, hurry).await;
    }
    match try_run(dispatcher, request, hurry).await {
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
    hurry: &CancellationToken,
) -> PreviewAnswer {
    let host = &dispatcher.host;
    match host.try_orbit(&trial.orbit, &trial.setting, hurry).await {
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
    hurry: &CancellationToken,
) -> Result<PreviewAnswer, LaunchError> {
    let Some(head) = dispatcher.store.summary(&request.blueprint_id).await? else {
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
            let found = dispatcher.store.blueprint(&request.blueprint_id, &latest);
            match found.await? {
                Some(found) => found.blueprint,
                None => return Ok(PreviewAnswer::UnknownTarget),
            }
        }
    };
    let launch = dispatcher.orbits.now(&request.blueprint_id).await?;
    let attempt = Attempt {
        issue: IssueRef {
            blueprint_id: request.blueprint_id.clone(),
            issue_id: request.id.clone(),
        },
        intent: request.intent.clone(),
        prev: Arc::clone(&prev),
        started_at_ms: request.taken_at_ms,
        steps: None,
        memory: Memory::of_preview(dispatcher.store.clone(), request.blueprint_id.clone()),
    };
    let (host, cancel) = (Arc::clone(&dispatcher.host), hurry.clone());
    let running = async move { attempt.run(&host, &launch, &cancel).await };
    Ok(match dispatcher.flows.run(running).await {
        Ran::Decided(report) => {
            // On a blocking thread: comparing two large documents may take long.
            let told = tokio::task::spawn_blocking(move || tell(&prev, *report)).await;
            told.unwrap_or_else(|panic| PreviewAnswer::Failed {
                reason: failed_reason(&format!("the documents could not be compared: {panic}")),
            })
        }
        Ran::Failed(failure) => PreviewAnswer::Failed {
            reason: failed_reason(&chain(&failure.error)),
        },
        Ran::Fault(fault) => PreviewAnswer::Fault {
            problem: fault.problem,
            retry_after_ms: fault.wait.map(whole_ms),
        },
        Ran::Stopped => PreviewAnswer::Fault {
            problem: "the worker that ran it has been asked to stop".to_owned(),
            retry_after_ms: None,
        },
    })
}

/// Returns the changes that a decision would make.
fn tell(prev: &Blueprint, report: FlowReport) -> PreviewAnswer {
    let preview = match report.decision {
        Decision::Commit {
            blueprint,
            rationale,
            verdicts,
            ..
        } => Preview {
            would_apply: true,
            json_patch: json::emit(&diff::json_patch(prev.doc(), blueprint.doc())),
            unified_diff: unified(prev, blueprint.canonical_yaml()),
            rationale,
            verdicts,
            reasons: Vec::new(),
        },
        Decision::Deny {
            reasons,
            verdicts,
            rationale,
        } => {
            // Shows the proposed change if it applies, so that the author sees what was denied.
            let proposed = json::parse(&report.patch_json).ok();
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
    use shared::domain::enhance_log::SpawnerUsage;

    use super::*;

    fn blueprint(note: &str) -> Blueprint {
        let text = format!("id: b\nflow: {{}}\nagents: []\nnote: {note:?}\n");
        Blueprint::parse(&text).unwrap()
    }

    fn denied(patch_json: &str) -> FlowReport {
        FlowReport {
            decision: Decision::Deny {
                reasons: vec!["noop: nothing changed".to_owned()],
                verdicts: Vec::new(),
                rationale: String::new(),
            },
            patch_json: patch_json.to_owned(),
            usage: SpawnerUsage::default(),
            unusable_reply: String::new(),
        }
    }

    #[test]
    fn a_denial_shows_what_was_proposed_as_far_as_it_applies() {
        let prev = blueprint("old");
        let proposal = r#"[{"op":"replace","path":"/note","value":"new"}]"#;
        let PreviewAnswer::Decided(preview) = tell(&prev, denied(proposal)) else {
            panic!("a small preview");
        };
        assert_eq!(preview.json_patch, proposal);
        assert!(preview.unified_diff.contains("+note: new"), "{preview:?}");
        for nothing in ["", "{}", r#"[{"op":"remove","path":"/nowhere"}]"#] {
            let PreviewAnswer::Decided(preview) = tell(&prev, denied(nothing)) else {
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
        let new = blueprint(&"n".repeat(900_000));
        let report = FlowReport {
            decision: Decision::Commit {
                blueprint: new,
                bump: "patch".to_owned(),
                rationale: String::new(),
                verdicts: Vec::new(),
                patch_hash: String::new(),
            },
            ..denied("")
        };
        let old = blueprint(&"o".repeat(900_000));
        let PreviewAnswer::Decided(preview) = tell(&old, report.clone()) else {
            panic!("below the limit");
        };
        assert!(preview.would_apply);
        let Decision::Commit { blueprint, .. } = report.decision else {
            panic!("a commit");
        };
        let report = FlowReport {
            decision: Decision::Commit {
                blueprint,
                bump: "patch".to_owned(),
                rationale: "r".repeat(MAX_PREVIEW_BYTES),
                verdicts: Vec::new(),
                patch_hash: String::new(),
            },
            ..denied("")
        };
        assert!(
            matches!(tell(&old, report), PreviewAnswer::TooLarge { bytes } if bytes > MAX_PREVIEW_BYTES)
        );
    }
}
