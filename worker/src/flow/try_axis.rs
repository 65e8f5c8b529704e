//! Tries a verifier out on two documents, as the flow would run it: for whoever writes one.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::blueprint::{Blueprint, Doc, DocumentError};
use thiserror::Error;

use super::agents::StepContext;
use super::error::{ScriptError, StepError};
use super::lua::pool::Pool;
use super::meter::Meter;
use super::run_state::RunState;
use super::scripts::Scripts;

/// How long a script that is tried may take.
const TIME: Duration = Duration::from_secs(30);

/// What a verifier said.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Pass, not deny.
    pub pass: bool,
    /// The evidence, or the reason.
    pub detail: Doc,
}

/// Why it said nothing.
#[derive(Debug, Error)]
pub enum TryAxisError {
    /// The script cannot be read, or is no Lua.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// One of the documents is no Blueprint.
    #[error("the document {which} is no Blueprint")]
    Document {
        /// `before` or `after`.
        which: &'static str,
        /// Why not.
        source: DocumentError,
    },
    /// The script failed; with an issue that would be cause `failed`.
    #[error("the issue would fail")]
    Step(#[from] StepError),
    /// The script did not end.
    #[error("the script did not end within {} s", TIME.as_secs())]
    Time,
}

/// Runs the verifier in the file `script` on a change from `before` to `after` (YAML or JSON). It sees
/// what it would see in the bundled orbit; the patch is one operation that replaces the document.
///
/// # Errors
/// [`TryAxisError`] says what to look at.
///
/// Cancel safety: dropping the future stops the script.
pub async fn try_axis(script: &Path, before: &str, after: &str) -> Result<Judgement, TryAxisError> {
    let read = |which, text| {
        Blueprint::parse(text).map_err(|source| TryAxisError::Document { which, source })
    };
    let before = Arc::new(read("before", before)?);
    let after = read("after", after)?;
    let mut scripts = Scripts::load(None)?;
    let axis = scripts.add_axis(script)?;
    let scripts = Arc::new(scripts);
    let pool = Pool::new(Arc::clone(&scripts))?;
    let router = scripts
        .step("verifier_router")
        .expect("it is bundled, and no directory was given");
    let run = Arc::new(RunState::new(&before, Instant::now() + TIME, None));
    let meter = Meter::of("verifier-router", &run);
    let cx = StepContext {
        step: "verifier-router",
        run: &run,
        meter: &meter,
    };
    let judging = pool.run(router, context(&axis, &before, &after), &cx);
    let verdict = match tokio::time::timeout(TIME, judging).await {
        Err(_) | Ok(Err(StepError::Interrupted)) => return Err(TryAxisError::Time),
        Ok(verdict) => verdict?,
    };
    let pass = verdict.get("status").and_then(Doc::as_str) == Some("pass");
    let detail = verdict.get(if pass { "evidence" } else { "reason" });
    Ok(Judgement {
        pass,
        detail: detail.cloned().unwrap_or_default(),
    })
}

fn context(axis: &str, before: &Blueprint, after: &Blueprint) -> Doc {
    let epoch = || {
        Doc::object([
            ("blueprint_id", Doc::from(before.id().as_str())),
            ("start_version", Doc::from(before.version().as_str())),
            ("started_at_ms", Doc::from(0)),
        ])
    };
    let op = Doc::object([
        ("op", Doc::from("replace")),
        ("path", Doc::from("")),
        ("value", after.doc().clone()),
    ]);
    let patch = Doc::object([
        ("ops", Doc::array(vec![op])),
        ("bump", Doc::from("patch")),
        ("rationale", Doc::from("to try a verifier")),
    ]);
    let applied = Doc::object([
        ("prev_hash", Doc::from(before.version().as_str())),
        ("patch", patch.clone()),
        ("new_bp_yaml", Doc::Str(after.canonical_yaml().clone())),
        ("new_bp_json", after.doc().clone()),
        ("new_hash", Doc::from(after.version().as_str())),
        ("epoch_id", epoch()),
    ]);
    let issue = Doc::object([
        ("issue_id", Doc::from("try")),
        ("blueprint_id", Doc::from(before.id().as_str())),
        ("intent", Doc::from("to try a verifier")),
    ]);
    Doc::object([
        ("issue", issue),
        ("prev_bp_yaml", Doc::Str(before.canonical_yaml().clone())),
        ("prev_hash", Doc::from(before.version().as_str())),
        ("epoch_id", epoch()),
        ("verifiers", Doc::array(vec![Doc::from(axis)])),
        ("axis", Doc::from(axis)),
        ("patch", patch),
        ("applied", applied),
    ])
}
