//! Reads the decision of a flow strictly from `$.commit`.
//!
//! No field has a default. Orbits are untrusted input: a missing field or a field of another type
//! is an error that names the field. The version that the flow reports is compared with the version
//! computed from the document. The reported verdicts are compared with the recorded verdicts of the
//! setting's axes.

use std::sync::Arc;

use shared::blueprint::label::Bump;
use shared::blueprint::{Blueprint, Doc, json};
use shared::domain::commit::MAX_RATIONALE_BYTES;
use shared::domain::enhance_log::{Verdict, VerdictStatus};
use shared::ids::{BlueprintId, Version, sha256_hex};
use shared::prefix::prefix;

use crate::flow::error::FlowError;
use crate::flow::rulings::Ruling;
use crate::flow::run_state::RunState;

/// The decision of a flow about an issue.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Commit the new document.
    Commit {
        /// The new document.
        blueprint: Arc<Blueprint>,
        /// `major`, `minor` or `patch`.
        bump: String,
        /// The rationale in prose.
        rationale: String,
        /// The verdict of each axis.
        verdicts: Vec<Verdict>,
        /// SHA-256 of `$.patch.ops` in canonical JSON.
        patch_hash: String,
        /// Why a person has to decide, as `axis: reason`; empty to commit at once.
        review: Vec<String>,
    },
    /// An axis or the flow denied the change.
    Deny {
        /// The reasons as `axis: reason`, at least one.
        reasons: Vec<String>,
        /// The verdict of each axis.
        verdicts: Vec<Verdict>,
        /// The spawner's rationale for its patch.
        rationale: String,
    },
}

/// Reads `$.commit` from the context of a completed flow. `target` is the Blueprint that the issue
/// changes, `axes` are the axes of the setting.
///
/// # Errors
/// [`FlowError::CommitShape`] naming the first invalid field, or the axis that prevents a commit.
pub(super) fn read(
    ctx: &Doc,
    target: &BlueprintId,
    axes: &[String],
    run: &RunState,
) -> Result<Decision, FlowError> {
    let commit = Fields {
        object: ctx.get("commit"),
        path: "$.commit",
    };
    commit.check_is_object()?;
    let committed = commit.get("committed", "true or false", Doc::as_bool)?;
    let rationale = commit.string("rationale")?;
    let verdicts = verdicts(&commit)?;
    if !committed {
        return Ok(Decision::Deny {
            reasons: reasons(&commit, "reasons", "a denial says why")?,
            verdicts,
            // Bounded, because an over-long rationale may be the reason for the denial.
            rationale: bounded(&rationale),
        });
    }
    if rationale.len() > MAX_RATIONALE_BYTES {
        let n_bytes = rationale.len();
        let problem = format!("has {n_bytes} bytes; the limit is {MAX_RATIONALE_BYTES}");
        return Err(commit.wrong("rationale", problem));
    }

    let bump = commit.string("bump")?;
    Bump::parse(&bump).map_err(|_| {
        commit.wrong(
            "bump",
            format!("must be major, minor or patch, not {bump:?}"),
        )
    })?;
    let claimed = commit.string("new_version")?;
    if claimed.is_empty() {
        return Err(commit.wrong("new_version", "is empty".into()));
    }
    let document = commit.any("new_bp_json", "a Blueprint")?;
    let blueprint = run
        .memo()
        .blueprint(document)
        .map_err(|error| commit.wrong("new_bp_json", format!("is not a Blueprint: {error}")))?;
    if blueprint.version().as_str() != claimed {
        let computed = blueprint.version();
        return Err(commit.wrong(
            "new_version",
            format!("is {claimed}, but new_bp_json has the version {computed}"),
        ));
    }
    if blueprint.id() != target {
        let found = blueprint.id();
        return Err(commit.wrong(
            "new_bp_json.id",
            format!("is {found}, but the issue is about {target}"),
        ));
    }
    check_verdicts(&commit, &verdicts, axes, blueprint.version(), run)?;
    let review = match commit.object.and_then(|object| object.get("review")) {
        None => Vec::new(),
        Some(_) => reasons(
            &commit,
            "review",
            "it says why, or is absent if no review is needed",
        )?,
    };
    check_review(&commit, &verdicts, &review)?;
    let ops = ctx.get("patch").and_then(|patch| patch.get("ops"));
    let patch_hash = ops.map_or_else(String::new, |ops| sha256_hex(json::emit(ops).as_bytes()));
    Ok(Decision::Commit {
        blueprint: Arc::new(blueprint),
        bump,
        rationale,
        verdicts,
        patch_hash,
        review,
    })
}

/// Checks a commit against the axes of the setting. Its summary names each axis once and no other,
/// no axis denies, and each axis has in fact given this verdict on this document.
fn check_verdicts(
    commit: &Fields<'_>,
    verdicts: &[Verdict],
    axes: &[String],
    version: &Version,
    run: &RunState,
) -> Result<(), FlowError> {
    let wrong = |problem: String| Err(commit.wrong("verdicts_summary", problem));
    for (i, Verdict { axis, status, .. }) in verdicts.iter().enumerate() {
        if *status == VerdictStatus::Deny {
            return wrong(format!(
                "has a denial by the axis {axis}, but committed is true"
            ));
        }
        if !axes.contains(axis) {
            return wrong(format!(
                "names the axis {axis}, which is not an axis of the setting"
            ));
        }
        if verdicts[..i].iter().any(|earlier| earlier.axis == *axis) {
            return wrong(format!("names the axis {axis} twice"));
        }
    }
    for axis in axes {
        let Some(verdict) = verdicts.iter().find(|verdict| verdict.axis == *axis) else {
            return wrong(format!("lacks the axis {axis} of the setting"));
        };
        let said = match verdict.status {
            VerdictStatus::Review => "needs a review",
            _ => "passed",
        };
        let truth = match (run.rulings().of(axis, version), verdict.status) {
            (Some(Ruling::Pass), VerdictStatus::Pass)
            | (Some(Ruling::Review), VerdictStatus::Review) => continue,
            (Some(Ruling::Pass), _) => "it passed this document".to_owned(),
            (Some(Ruling::Review), _) => "it sent this document to review".to_owned(),
            (Some(Ruling::Deny), _) => "it denied this document".to_owned(),
            (Some(Ruling::OtherInput(field)), _) => {
                format!("it was given another {field} than that of the issue")
            }
            (None, _) => "the verifier router did not run it on this document".to_owned(),
        };
        return wrong(format!("says that the axis {axis} {said}, but {truth}"));
    }
    Ok(())
}

/// Checks that a commit with a verdict of review asks for one. It may ask for one without such a
/// verdict.
fn check_review(
    commit: &Fields<'_>,
    verdicts: &[Verdict],
    review: &[String],
) -> Result<(), FlowError> {
    let asking = verdicts
        .iter()
        .find(|verdict| verdict.status == VerdictStatus::Review);
    match asking {
        Some(Verdict { axis, .. }) if review.is_empty() => {
            let problem = format!("is missing, but the axis {axis} needs a review");
            Err(commit.wrong("review", problem))
        }
        _ => Ok(()),
    }
}

/// Returns the spawner's whole reply as JSON; empty without one.
pub(super) fn reply(ctx: &Doc) -> String {
    ctx.get("patch").map_or_else(String::new, json::emit)
}

/// Returns the spawner's proposal as canonical JSON: its operations, or its whole reply if it has
/// no operations.
pub(super) fn proposed(ctx: &Doc) -> String {
    match ctx.get("patch") {
        Some(patch) => json::emit(patch.get("ops").unwrap_or(patch)),
        None => String::new(),
    }
}

/// Returns the spawner's rationale, cut to the maximum length of a rationale.
pub(super) fn proposed_rationale(ctx: &Doc) -> String {
    let rationale = ctx.get("patch").and_then(|patch| patch.get("rationale"));
    bounded(rationale.and_then(Doc::as_str).unwrap_or_default())
}

/// Returns the rationale, cut to its maximum length.
fn bounded(rationale: &str) -> String {
    prefix(rationale, MAX_RATIONALE_BYTES).to_owned()
}

/// Reads a non-empty array of strings. `rule` says why it cannot be empty.
fn reasons(commit: &Fields<'_>, name: &str, rule: &str) -> Result<Vec<String>, FlowError> {
    let list = commit.array(name)?;
    if list.is_empty() {
        return Err(commit.wrong(name, format!("is empty; {rule}")));
    }
    let text = |(i, reason): (usize, &Doc)| {
        let reason = reason.as_str().map(str::to_owned);
        reason.ok_or_else(|| {
            commit.wrong(
                &format!("{name}[{i}]"),
                format!("must be a string, not {}", list[i].kind()),
            )
        })
    };
    list.iter().enumerate().map(text).collect()
}

fn verdicts(commit: &Fields<'_>) -> Result<Vec<Verdict>, FlowError> {
    let list = commit.array("verdicts_summary")?;
    let one = |(i, verdict): (usize, &Doc)| {
        let path = format!("$.commit.verdicts_summary[{i}]");
        let verdict = Fields {
            object: Some(verdict),
            path: &path,
        };
        verdict.check_is_object()?;
        let axis = verdict.string("axis")?;
        match verdict.string("status")?.as_str() {
            "pass" => {
                let detail = match verdict.any("evidence", "any value")? {
                    Doc::Str(text) => text.to_string(),
                    other => json::emit(other),
                };
                Ok(Verdict {
                    axis,
                    status: VerdictStatus::Pass,
                    detail,
                })
            }
            status @ ("deny" | "review") => Ok(Verdict {
                axis,
                status: match status {
                    "deny" => VerdictStatus::Deny,
                    _ => VerdictStatus::Review,
                },
                detail: verdict.string("reason")?,
            }),
            other => {
                let problem = format!("must be pass, deny or review, not {other:?}");
                Err(verdict.wrong("status", problem))
            }
        }
    };
    list.iter().enumerate().map(one).collect()
}

/// An object whose fields are read strictly.
struct Fields<'a> {
    object: Option<&'a Doc>,
    path: &'a str,
}

impl<'a> Fields<'a> {
    fn check_is_object(&self) -> Result<(), FlowError> {
        let problem = match self.object {
            Some(Doc::Object(_)) => return Ok(()),
            Some(other) => format!("must be an object, not {}", other.kind()),
            None => "is missing: the flow wrote nothing there".into(),
        };
        Err(FlowError::CommitShape {
            field: self.path.to_owned(),
            problem,
        })
    }

    fn any(&self, name: &str, expected: &str) -> Result<&'a Doc, FlowError> {
        let found = self.object.and_then(|object| object.get(name));
        found.ok_or_else(|| self.wrong(name, format!("is missing; expected {expected}")))
    }

    fn get<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&'a Doc) -> Option<T>,
    ) -> Result<T, FlowError> {
        let found = self.any(name, expected)?;
        read(found)
            .ok_or_else(|| self.wrong(name, format!("must be {expected}, not {}", found.kind())))
    }

    fn string(&self, name: &str) -> Result<String, FlowError> {
        self.get(name, "a string", |doc| doc.as_str().map(str::to_owned))
    }

    fn array(&self, name: &str) -> Result<&'a [Doc], FlowError> {
        self.get(name, "an array", Doc::as_array)
    }

    fn wrong(&self, name: &str, problem: String) -> FlowError {
        FlowError::CommitShape {
            field: format!("{}.{name}", self.path),
            problem,
        }
    }
}
