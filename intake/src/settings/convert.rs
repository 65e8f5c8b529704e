//! Converts settings to the wire.

use std::sync::Arc;

use proto::v1;
use shared::blueprint::Doc;
use shared::domain::id_pattern::IdPattern;
use shared::domain::setting::EnhanceSetting;
use shared::domain::version_selector::VersionSelector;

use crate::convert::documents::doc_to_struct;
use crate::convert::{text, timestamp};

/// Converts a setting.
pub(crate) fn setting_to_wire(setting: EnhanceSetting) -> v1::EnhanceSetting {
    use v1::version_selector::Selector;
    let selector = match setting.selector {
        VersionSelector::Latest => Selector::Latest(true),
        VersionSelector::Fixed(version) => Selector::Fixed(version.to_string()),
        VersionSelector::SemverReq(requirement) => Selector::SemverReq(requirement.to_string()),
        VersionSelector::Channel(name) => Selector::Channel(name.to_string()),
    };
    v1::EnhanceSetting {
        id: setting.id.to_string(),
        blueprint_id: setting.blueprint_id.to_string(),
        selector: Some(v1::VersionSelector {
            selector: Some(selector),
        }),
        verifier_axes: setting.verifier_axes,
        no_verification: setting.no_verification,
        ttl_secs: setting.ttl_secs,
        spawner: setting.spawner.as_ref().map(doc_to_struct),
        applies_to: setting
            .applies_to
            .iter()
            .map(IdPattern::to_string)
            .collect(),
        axis_options: (!setting.axis_options.is_empty())
            .then(|| doc_to_struct(&Doc::Object(Arc::new(setting.axis_options)))),
        review_ttl_secs: Some(setting.review.ttl_secs),
        allow_self_review: setting.review.allow_self_review,
        revision: setting.revision,
        updated_by: text(setting.updated_by),
        updated_at: setting.updated_at_ms.map(timestamp),
    }
}
