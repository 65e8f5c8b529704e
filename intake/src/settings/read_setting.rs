//! Parses a setting from the wire.

use proto::v1;
use shared::blueprint::orbit::scripts::is_same;
use shared::domain::axis_options::MAX_TTL_SECS;
use shared::domain::id_pattern::IdPattern;
use shared::domain::proposal::{DEFAULT_REVIEW_TTL_SECS, MAX_REVIEW_TTL_SECS, ReviewPolicy};
use shared::domain::setting::EnhanceSetting;
use shared::ids::{BlueprintId, SettingId};

use crate::convert::documents::struct_to_doc;
use crate::convert::selector;
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;
use crate::settings::options;

/// Maximum number of verifier axes of a setting.
const MAX_AXES: usize = 64;
/// Maximum length of an axis name, in bytes.
const MAX_AXIS_BYTES: usize = 128;
/// Maximum number of patterns of a setting.
const MAX_PATTERNS: usize = 64;

/// Parses the field `setting`. Its revision, writer and time are ignored.
pub(crate) fn setting(given: Option<v1::EnhanceSetting>) -> Result<EnhanceSetting, RequestError> {
    let Some(given) = given else {
        return Err(RequestError::field("setting", "is missing"));
    };
    let mut violations = Violations::default();
    let id = violations.check("setting.id", SettingId::parse(&given.id));
    let blueprint_id = violations.check(
        "setting.blueprint_id",
        BlueprintId::parse(&given.blueprint_id),
    );
    let selector = violations.merge(selector("setting.selector", given.selector.as_ref()));
    let verifier_axes = violations.check("setting.verifier_axes", axes(given.verifier_axes));
    let no_verification = given.no_verification;
    match verifier_axes.as_deref() {
        Some([]) if !no_verification => {
            let _refused: Option<()> = violations.check(
                "setting.verifier_axes",
                Err(
                    "is empty, so nothing would be verified: name axes, such as des, canonical, noop and agent-ref, or \
                     set no_verification to true if that is meant",
                ),
            );
        }
        Some([_, ..]) if no_verification => {
            let _refused: Option<()> = violations.check(
                "setting.no_verification",
                Err("is true, but verifier_axes names axes: leave one of the two out"),
            );
        }
        _ => {}
    }
    let ttl_secs = violations.check(
        "setting.ttl_secs",
        match given.ttl_secs {
            1..=MAX_TTL_SECS => Ok(given.ttl_secs),
            other => Err(format!(
                "{other} is not from 1 to {MAX_TTL_SECS} seconds (a year)"
            )),
        },
    );
    let review_ttl_secs = violations.check(
        "setting.review_ttl_secs",
        match given.review_ttl_secs.unwrap_or(DEFAULT_REVIEW_TTL_SECS) {
            secs @ 0..=MAX_REVIEW_TTL_SECS => Ok(secs),
            other => Err(format!(
                "{other} is above {MAX_REVIEW_TTL_SECS} seconds (a year); 0 means no limit"
            )),
        },
    );
    let spawner = match given.spawner {
        None => Some(None),
        Some(spawner) => violations
            .check("setting.spawner", struct_to_doc(spawner))
            .map(Some),
    };
    let applies_to = violations.check("setting.applies_to", patterns(&given.applies_to));
    let axis_options = violations.merge(options::axis_options(
        given.axis_options,
        verifier_axes.as_deref(),
    ));
    if !violations.is_empty() {
        return Err(violations.into());
    }
    let (
        Some(id),
        Some(blueprint_id),
        Some(selector),
        Some(verifier_axes),
        Some(ttl_secs),
        Some(review_ttl_secs),
        Some(spawner),
        Some(applies_to),
        Some(axis_options),
    ) = (
        id,
        blueprint_id,
        selector,
        verifier_axes,
        ttl_secs,
        review_ttl_secs,
        spawner,
        applies_to,
        axis_options,
    )
    else {
        return Err(violations.into());
    };
    Ok(EnhanceSetting {
        id,
        blueprint_id,
        selector,
        verifier_axes,
        no_verification,
        ttl_secs,
        spawner,
        applies_to,
        axis_options,
        review: ReviewPolicy {
            ttl_secs: review_ttl_secs,
            allow_self_review: given.allow_self_review,
        },
        revision: 0,
        updated_by: None,
        updated_at_ms: None,
    })
}

fn axes(given: Vec<String>) -> Result<Vec<String>, String> {
    if given.len() > MAX_AXES {
        return Err(format!("has {} axes; the limit is {MAX_AXES}", given.len()));
    }
    for (index, axis) in given.iter().enumerate() {
        if axis.is_empty() || axis.len() > MAX_AXIS_BYTES {
            return Err(format!(
                "element {index} is not of 1 to {MAX_AXIS_BYTES} bytes"
            ));
        }
        if given[..index].iter().any(|other| is_same(other, axis)) {
            return Err(format!(
                "element {index} names the axis {axis:?} again; name each once"
            ));
        }
    }
    Ok(given)
}

fn patterns(given: &[String]) -> Result<Vec<IdPattern>, String> {
    if given.len() > MAX_PATTERNS {
        let n = given.len();
        return Err(format!("has {n} patterns; the limit is {MAX_PATTERNS}"));
    }
    let mut patterns = Vec::with_capacity(given.len());
    for (index, text) in given.iter().enumerate() {
        let pattern =
            IdPattern::parse(text).map_err(|error| format!("element {index}: {error}"))?;
        if patterns.contains(&pattern) {
            return Err(format!(
                "element {index} is {text:?} again; give each pattern once"
            ));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}
