//! The committer: combines the verdicts into `$.commit`.
//!
//! Any denial denies the change; otherwise the new document is committed, after a review if any
//! axis asks for one. If the spawner's reply is
//! not a patch, or the patch did not apply, the change is denied regardless of the axes.

use shared::blueprint::Doc;

use crate::flow::bundled::fields::{kind, text};

/// Returns the value of `$.commit`.
///
/// # Errors
/// A message that names the field of `ctx` that is missing or has another type.
pub(super) fn commit(ctx: &Doc) -> Result<Doc, String> {
    let Some(applied @ Doc::Object(_)) = ctx.get("applied") else {
        return Err(format!(
            "$.applied must be an object; it is {}",
            kind(ctx.get("applied"))
        ));
    };
    let rationale = ctx.get("patch").and_then(|patch| patch.get("rationale"));
    let rationale = Doc::from(rationale.and_then(Doc::as_str).unwrap_or_default());
    if let Some(error) = applied.get("error") {
        let axis = text(Some(error), "$.applied.error.", "axis")?;
        let reason = text(Some(error), "$.applied.error.", "reason")?;
        let denial = Verdict::Deny { axis, reason };
        return Ok(denied(&[denial], rationale));
    }
    let Some(branches) = ctx.get("verdicts").and_then(Doc::as_array) else {
        return Err(format!(
            "$.verdicts must be an array; it is {}",
            kind(ctx.get("verdicts"))
        ));
    };
    let verdicts = branches.iter().map(Verdict::read);
    let verdicts = verdicts.collect::<Result<Vec<_>, _>>()?;
    if verdicts.iter().any(|v| matches!(v, Verdict::Deny { .. })) {
        return Ok(denied(&verdicts, rationale));
    }
    let taken = [
        ("new_version", applied.get("new_hash")),
        ("new_bp_yaml", applied.get("new_bp_yaml")),
        ("new_bp_json", applied.get("new_bp_json")),
        (
            "bump",
            applied.get("patch").and_then(|patch| patch.get("bump")),
        ),
    ];
    let taken = taken.into_iter();
    let taken = taken.filter_map(|(key, value)| Some((key, value?.clone())));
    let asking: Vec<Doc> = verdicts.iter().filter_map(Verdict::review).collect();
    let review = (!asking.is_empty()).then(|| ("review", Doc::array(asking)));
    let own = [
        ("committed", Doc::from(true)),
        ("rationale", rationale),
        ("verdicts_summary", summary(&verdicts)),
    ];
    Ok(Doc::object(own.into_iter().chain(taken).chain(review)))
}

/// One entry of the summary.
enum Verdict<'a> {
    Pass {
        axis: &'a Doc,
        evidence: Option<&'a Doc>,
    },
    Deny {
        axis: &'a str,
        reason: &'a str,
    },
    Review {
        axis: &'a str,
        reason: &'a str,
    },
}

impl<'a> Verdict<'a> {
    /// Reads the verdict of a branch. A router of mlua-swarm writes {axis, outcome}, where
    /// `outcome` is {Pass: {evidence}} or {Deny: {reason}}.
    fn read(branch: &'a Doc) -> Result<Self, String> {
        const EMPTY: &Doc = &Doc::Null;
        let verdict = branch.get("verdict");
        let Some(verdict @ Doc::Object(_)) = verdict else {
            return Err(format!(
                "a verdict must be an object; it is {}",
                kind(verdict)
            ));
        };
        let axis = verdict.get("axis").unwrap_or(EMPTY);
        let outcome = match (verdict.get("status"), verdict.get("outcome")) {
            (None, Some(outcome @ Doc::Object(_))) => outcome,
            (Some(Doc::Str(status)), _) if &**status == "pass" => {
                let evidence = verdict.get("evidence");
                return Ok(Verdict::Pass { axis, evidence });
            }
            (Some(Doc::Str(status)), _) if &**status == "review" => {
                let (axis, reason) = Self::named(verdict, verdict)?;
                return Ok(Verdict::Review { axis, reason });
            }
            _ => return Self::denial(verdict, verdict),
        };
        match (outcome.get("Deny"), outcome.get("Pass")) {
            (Some(deny @ Doc::Object(_)), _) => Self::denial(verdict, deny),
            (_, Some(pass @ Doc::Object(_))) => {
                let evidence = Some(pass.get("evidence").unwrap_or(EMPTY));
                Ok(Verdict::Pass { axis, evidence })
            }
            _ => Err(format!(
                "the verdict of the axis {} is neither Pass nor Deny",
                axis.as_str().unwrap_or("?")
            )),
        }
    }

    fn denial(verdict: &'a Doc, deny: &'a Doc) -> Result<Self, String> {
        let (axis, reason) = Self::named(verdict, deny)?;
        Ok(Verdict::Deny { axis, reason })
    }

    /// Returns the reason as `axis: reason` if the axis asks for a review.
    fn review(&self) -> Option<Doc> {
        match self {
            Verdict::Review { axis, reason } => Some(Doc::from(format!("{axis}: {reason}"))),
            Verdict::Pass { .. } | Verdict::Deny { .. } => None,
        }
    }

    /// Returns the axis of a verdict and its reason, a member of `deny`.
    fn named(verdict: &'a Doc, deny: &'a Doc) -> Result<(&'a str, &'a str), String> {
        let axis = text(Some(verdict), "a verdict: ", "axis")?;
        let reason = text(
            Some(deny),
            &format!("the verdict of the axis {axis}: "),
            "reason",
        )?;
        Ok((axis, reason))
    }
}

fn denied(verdicts: &[Verdict<'_>], rationale: Doc) -> Doc {
    let reasons = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Pass { .. } | Verdict::Review { .. } => None,
        Verdict::Deny { axis, reason } => Some(Doc::from(format!("{axis}: {reason}"))),
    });
    Doc::object([
        ("committed", Doc::from(false)),
        ("reasons", Doc::array(reasons.collect())),
        ("verdicts_summary", summary(verdicts)),
        ("rationale", rationale),
    ])
}

fn summary(verdicts: &[Verdict<'_>]) -> Doc {
    let because = |axis: &str, status: &str, reason: &str| {
        Doc::object([
            ("axis", Doc::from(axis)),
            ("status", Doc::from(status)),
            ("reason", Doc::from(reason)),
        ])
    };
    let line = |verdict: &Verdict<'_>| match verdict {
        Verdict::Pass { axis, evidence } => {
            let evidence = evidence.map(|evidence| ("evidence", evidence.clone()));
            let line = [("axis", (*axis).clone()), ("status", Doc::from("pass"))];
            Doc::object(line.into_iter().chain(evidence))
        }
        Verdict::Deny { axis, reason } => because(axis, "deny", reason),
        Verdict::Review { axis, reason } => because(axis, "review", reason),
    };
    Doc::array(verdicts.iter().map(line).collect())
}
