//! The stored form of settings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blueprint::{Doc, json};
use crate::domain::actor::Actor;
use crate::domain::axis_options::AxisOptions;
use crate::domain::id_pattern::IdPattern;
use crate::domain::proposal::ReviewPolicy;
use crate::domain::setting::EnhanceSetting;
use crate::domain::version_selector::VersionSelector;
use crate::ids::{BlueprintId, ChannelName, SettingId, Version};
use crate::store::codec::format::{FORMAT, check_format, damaged, from_json, read_actor, to_json};
use crate::store::redis::error::StoreError;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredSelector {
    Latest,
    Fixed(String),
    SemverReq(String),
    Channel(String),
}

/// The stored form of a setting. The script adds `revision` and `updated_at`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSetting {
    v: u32,
    blueprint_id: String,
    selector: StoredSelector,
    verifier_axes: Vec<String>,
    /// Absent in data of releases without this field. They treat no axes as no verification.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_verification: bool,
    ttl_secs: u64,
    /// The JSON of the AgentDef as text, so that its numbers stay exact.
    spawner: Option<String>,
    /// Absent in data of releases without this field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    applies_to: Vec<String>,
    /// JSON as text, like `spawner`. Absent in data of releases without this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    axis_options: Option<String>,
    /// The defaults are not stored: they are those of the release that reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    review_ttl_secs: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    allow_self_review: bool,
    /// Absent in data of releases without actors.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    updated_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// Absent in data of releases without this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<u64>,
}

/// Returns the JSON of a setting without its revision and its time.
pub(crate) fn setting_draft(setting: &EnhanceSetting) -> String {
    to_json(&StoredSetting {
        v: FORMAT,
        blueprint_id: setting.blueprint_id.to_string(),
        selector: match &setting.selector {
            VersionSelector::Latest => StoredSelector::Latest,
            VersionSelector::Fixed(version) => StoredSelector::Fixed(version.to_string()),
            VersionSelector::SemverReq(req) => StoredSelector::SemverReq(req.to_string()),
            VersionSelector::Channel(name) => StoredSelector::Channel(name.to_string()),
        },
        verifier_axes: setting.verifier_axes.clone(),
        no_verification: setting.no_verification,
        ttl_secs: setting.ttl_secs,
        spawner: setting.spawner.as_ref().map(json::emit),
        applies_to: setting
            .applies_to
            .iter()
            .map(IdPattern::to_string)
            .collect(),
        axis_options: (!setting.axis_options.is_empty())
            .then(|| json::emit(&Doc::Object(Arc::new(setting.axis_options.clone())))),
        review_ttl_secs: Some(setting.review.ttl_secs)
            .filter(|ttl_secs| *ttl_secs != ReviewPolicy::default().ttl_secs),
        allow_self_review: setting.review.allow_self_review,
        updated_by: setting
            .updated_by
            .as_ref()
            .map(Actor::to_string)
            .unwrap_or_default(),
        revision: None,
        updated_at: None,
    })
}

/// Reads a setting from its stored JSON.
pub(crate) fn setting(setting_id: &SettingId, text: &str) -> Result<EnhanceSetting, StoreError> {
    let id = setting_id.as_str();
    let stored: StoredSetting = from_json("setting", id, text)?;
    check_format("setting", id, stored.v)?;
    let selector = match stored.selector {
        StoredSelector::Latest => VersionSelector::Latest,
        StoredSelector::Fixed(v) => {
            VersionSelector::Fixed(Version::parse(&v).map_err(|e| damaged("setting", id, e))?)
        }
        StoredSelector::SemverReq(r) => VersionSelector::SemverReq(
            semver::VersionReq::parse(&r).map_err(|e| damaged("setting", id, e))?,
        ),
        StoredSelector::Channel(name) => VersionSelector::Channel(
            ChannelName::parse(&name).map_err(|e| damaged("setting", id, e))?,
        ),
    };
    let spawner: Option<Doc> = match stored.spawner {
        None => None,
        Some(text) => Some(json::parse(&text).map_err(|e| damaged("setting", id, e))?),
    };
    let axis_options = match stored.axis_options {
        None => AxisOptions::new(),
        Some(text) => json::parse(&text)
            .map_err(|e| damaged("setting", id, e))?
            .as_object()
            .cloned()
            .ok_or_else(|| damaged("setting", id, "axis_options is not an object"))?,
    };
    Ok(EnhanceSetting {
        id: setting_id.clone(),
        blueprint_id: BlueprintId::parse(&stored.blueprint_id)
            .map_err(|e| damaged("setting", id, e))?,
        selector,
        verifier_axes: stored.verifier_axes,
        no_verification: stored.no_verification,
        ttl_secs: stored.ttl_secs,
        spawner,
        applies_to: stored
            .applies_to
            .iter()
            .map(|pattern| IdPattern::parse(pattern))
            .collect::<Result<_, _>>()
            .map_err(|e| damaged("setting", id, e))?,
        axis_options,
        review: ReviewPolicy {
            ttl_secs: stored
                .review_ttl_secs
                .unwrap_or(ReviewPolicy::default().ttl_secs),
            allow_self_review: stored.allow_self_review,
        },
        revision: stored
            .revision
            .ok_or_else(|| damaged("setting", id, "field revision is missing"))?,
        updated_by: read_actor("setting", id, &stored.updated_by)?,
        updated_at_ms: stored.updated_at,
    })
}
