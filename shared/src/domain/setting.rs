//! An EnhanceSetting: how issues are worked on, and which of several an issue is worked on by.

use crate::blueprint::Doc;
use crate::domain::axis_options::AxisOptions;
use crate::domain::id_pattern::IdPattern;
use crate::domain::version_selector::VersionSelector;
use crate::ids::{BlueprintId, SettingId};

/// How workers run issues. An edit takes effect with the next issue.
#[derive(Debug, Clone, PartialEq)]
pub struct EnhanceSetting {
    /// Its name; workers use the one that `DRAFTSMAN_SETTING` names.
    pub id: SettingId,
    /// The orbit: the Blueprint whose flow does the changing.
    pub blueprint_id: BlueprintId,
    /// Which version of the orbit.
    pub selector: VersionSelector,
    /// The verifiers, in order.
    pub verifier_axes: Vec<String>,
    /// True if it is meant that there are none. A setting without axes that does not say so is not usable.
    pub no_verification: bool,
    /// The ceiling of one run of the flow, in seconds; above 0.
    pub ttl_secs: u64,
    /// Replaces the orbit's agent `patch-spawner` (an AgentDef).
    pub spawner: Option<Doc>,
    /// The Blueprints whose issues are worked on by this setting, whatever a worker's own is: see [`choose`].
    pub applies_to: Vec<IdPattern>,
    /// What its axes are told: see [`crate::domain::axis_options`].
    pub axis_options: AxisOptions,
    /// Rises by one with every write, also over a deletion; 0 before the first.
    pub revision: u64,
}

impl EnhanceSetting {
    /// The most specific of its patterns that describes this Blueprint, as the length of its literal prefix.
    fn fit(&self, blueprint: &BlueprintId) -> Option<usize> {
        let matching = self.applies_to.iter().filter(|p| p.matches(blueprint));
        matching.map(IdPattern::literal_prefix).max()
    }
}

/// The setting by which an issue of `blueprint` is worked on; `None` if there is none.
///
/// The rule: the setting whose `applies_to` matches the Blueprint's id; of several the one with the most
/// specific matching pattern, which is the one with the most characters before its first wildcard, and
/// of equally specific ones the setting whose id is first in byte order. If none matches: the worker's
/// own, which is the setting that `DRAFTSMAN_SETTING` names.
pub fn choose<'a>(
    settings: &'a [EnhanceSetting],
    own: &SettingId,
    blueprint: &BlueprintId,
) -> Option<&'a EnhanceSetting> {
    let fitting = settings
        .iter()
        .filter_map(|setting| Some((setting.fit(blueprint)?, setting)));
    let best = fitting.max_by(|(a, one), (b, other)| a.cmp(b).then(other.id.cmp(&one.id)));
    best.map(|(_, setting)| setting)
        .or_else(|| settings.iter().find(|setting| setting.id == *own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bundled::DEFAULT_ORBIT;

    fn setting(id: &str, applies_to: &[&str]) -> EnhanceSetting {
        let patterns = applies_to.iter().map(|p| IdPattern::parse(p).unwrap());
        EnhanceSetting {
            id: SettingId::parse(id).unwrap(),
            blueprint_id: BlueprintId::parse(DEFAULT_ORBIT).unwrap(),
            selector: VersionSelector::Latest,
            verifier_axes: Vec::new(),
            no_verification: true,
            ttl_secs: 1,
            spawner: None,
            applies_to: patterns.collect(),
            axis_options: AxisOptions::new(),
            revision: 1,
        }
    }

    #[test]
    fn the_most_specific_setting_is_chosen_and_else_the_workers_own() {
        let settings = [
            setting("default", &[]),
            setting("teams", &["team.*"]),
            setting("b-prod", &["*.prod", "team.alpha*"]),
            setting("a-prod", &["?*.prod"]),
            setting("one", &["team.alpha", "x"]),
        ];
        let chosen = |own: &str, blueprint: &str| {
            let own = SettingId::parse(own).unwrap();
            let found = choose(&settings, &own, &BlueprintId::parse(blueprint).unwrap());
            found.map(|setting| setting.id.as_str().to_owned())
        };
        for (own, blueprint, expected) in [
            ("default", "other", Some("default")),
            ("gone", "other", None),
            ("gone", "team.beta", Some("teams")),
            ("default", "team.beta", Some("teams")),
            // The pattern of the worker's own counts like any other, and is not preferred.
            ("teams", "team.alpha.1", Some("b-prod")),
            ("teams", "unmatched", Some("teams")),
            // Equally specific: the id first in byte order.
            ("default", "some.prod", Some("a-prod")),
            ("default", "team.alpha", Some("b-prod")),
            ("default", "x", Some("one")),
        ] {
            assert_eq!(
                chosen(own, blueprint).as_deref(),
                expected,
                "{own} {blueprint}"
            );
        }
    }
}
