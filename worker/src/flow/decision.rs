//! What a flow decided: a strict reading of `$.commit`.
//!
//! Nothing has a default. A flow is somebody's document, and a field that is missing or of
//! another type is an error that names it, never a commit with a guess in it. The version that
//! the flow names is compared with the one computed here from the document itself, and its verdicts with what the
//! axes of the setting really judged.

use shared::blueprint::label::Bump;
use shared::blueprint::{Blueprint, Doc, json};
use shared::domain::commit::MAX_RATIONALE_BYTES;
use shared::domain::enhance_log::Verdict;
use shared::ids::{BlueprintId, Version, sha256_hex};

use crate::flow::error::FlowError;
use crate::flow::prefix::prefix;
use crate::flow::rulings::Ruling;
use crate::flow::run_state::RunState;

/// What a flow decided about an issue.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The new document is to be committed.
    Commit {
        /// The new document.
        blueprint: Blueprint,
        /// `major`, `minor` or `patch`.
        bump: String,
        /// Why, in words.
        rationale: String,
        /// What each axis found.
        verdicts: Vec<Verdict>,
        /// SHA-256 of `$.patch.ops` in canonical JSON.
        patch_hash: String,
    },
    /// Somebody said no.
    Deny {
        /// Why: `axis: reason`, at least one.
        reasons: Vec<String>,
        /// What each axis found.
        verdicts: Vec<Verdict>,
        /// What the spawner said about its patch.
        rationale: String,
    },
}

/// Reads `$.commit` of a context whose flow has ended. `target` is the Blueprint that the issue
/// wants changed, `axes` are those of the setting.
///
/// # Errors
/// [`FlowError::CommitShape`] naming the first field that is not as it must be, or the axis that speaks against
/// a commit.
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
            reasons: reasons(&commit)?,
            verdicts,
            // It may be denied for its length.
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
        .map_err(|error| commit.wrong("new_bp_json", format!("is no Blueprint: {error}")))?;
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
    let ops = ctx.get("patch").and_then(|patch| patch.get("ops"));
    let patch_hash = ops.map_or_else(String::new, |ops| sha256_hex(json::emit(ops).as_bytes()));
    Ok(Decision::Commit {
        blueprint,
        bump,
        rationale,
        verdicts,
        patch_hash,
    })
}

/// Holds a commit against the axes of the setting: its summary names each of them once and nothing else, none denies,
/// and each has really passed this document.
fn check_verdicts(
    commit: &Fields<'_>,
    verdicts: &[Verdict],
    axes: &[String],
    version: &Version,
    run: &RunState,
) -> Result<(), FlowError> {
    let wrong = |problem: String| Err(commit.wrong("verdicts_summary", problem));
    for (i, Verdict { axis, pass, .. }) in verdicts.iter().enumerate() {
        if !pass {
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
        if !verdicts.iter().any(|verdict| verdict.axis == *axis) {
            return wrong(format!("lacks the axis {axis} of the setting"));
        }
        let truth = match run.rulings().of(axis, version) {
            Some(Ruling::Pass) => continue,
            Some(Ruling::Deny) => "it denied this document".to_owned(),
            Some(Ruling::OtherInput(field)) => {
                format!("it was given another {field} than that of the issue")
            }
            None => "the verifier router did not run it on this document".to_owned(),
        };
        return wrong(format!("says that the axis {axis} passed, but {truth}"));
    }
    Ok(())
}

/// What the spawner proposed, as canonical JSON: its operations, or whatever it replied instead.
pub(super) fn proposed(ctx: &Doc) -> String {
    match ctx.get("patch") {
        Some(patch) => json::emit(patch.get("ops").unwrap_or(patch)),
        None => String::new(),
    }
}

/// What the spawner said about its patch, as much of it as a rationale may have.
pub(super) fn proposed_rationale(ctx: &Doc) -> String {
    let rationale = ctx.get("patch").and_then(|patch| patch.get("rationale"));
    bounded(rationale.and_then(Doc::as_str).unwrap_or_default())
}

/// As much of a rationale as is kept.
fn bounded(rationale: &str) -> String {
    prefix(rationale, MAX_RATIONALE_BYTES).to_owned()
}

fn reasons(commit: &Fields<'_>) -> Result<Vec<String>, FlowError> {
    let list = commit.array("reasons")?;
    if list.is_empty() {
        return Err(commit.wrong("reasons", "is empty; a denial says why".into()));
    }
    let text = |(i, reason): (usize, &Doc)| {
        let reason = reason.as_str().map(str::to_owned);
        reason.ok_or_else(|| {
            commit.wrong(
                &format!("reasons[{i}]"),
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
                    pass: true,
                    detail,
                })
            }
            "deny" => Ok(Verdict {
                axis,
                pass: false,
                detail: verdict.string("reason")?,
            }),
            other => Err(verdict.wrong("status", format!("must be pass or deny, not {other:?}"))),
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
