//! An EnhanceSetting: how workers run issues, and the selection of a setting for an issue.

use crate::blueprint::Doc;
use crate::domain::actor::Actor;
use crate::domain::axis_options::AxisOptions;
use crate::domain::id_pattern::IdPattern;
use crate::domain::proposal::ReviewPolicy;
use crate::domain::version_selector::VersionSelector;
use crate::ids::{BlueprintId, SettingId};

/// How workers run issues. An edit takes effect with the next issue.
#[derive(Debug, Clone, PartialEq)]
pub struct EnhanceSetting {
    /// The name. `DRAFTSMAN_SETTING` names the setting that workers use.
    pub id: SettingId,
    /// The orbit: the Blueprint whose flow makes the change.
    pub blueprint_id: BlueprintId,
    /// The version of the orbit.
    pub selector: VersionSelector,
    /// The verifiers, in order.
    pub verifier_axes: Vec<String>,
    /// True if the list of axes is empty on purpose. Without it, a setting without axes is not
    /// usable.
    pub no_verification: bool,
    /// The time limit of one run of the flow, in seconds; above 0.
    pub ttl_secs: u64,
    /// Replaces the orbit's agent `patch-spawner` (an AgentDef).
    pub spawner: Option<Doc>,
    /// The Blueprints whose issues use this setting, instead of the worker's own setting: see
    /// [`choose`].
    pub applies_to: Vec<IdPattern>,
    /// The options of its axes: see [`crate::domain::axis_options`].
    pub axis_options: AxisOptions,
    /// The rules of its reviews.
    pub review: ReviewPolicy,
    /// A counter that rises by one with every write, also across a deletion; 0 before the first
    /// write.
    pub revision: u64,
    /// The last writer; `None` for the bundled setting, and in data of releases without actors.
    pub updated_by: Option<Actor>,
    /// The time of the last write, Redis time; `None` before the first write, and in data of
    /// releases without this field.
    pub updated_at_ms: Option<u64>,
}

impl EnhanceSetting {
    /// Returns the length of the literal prefix of the most specific matching pattern.
    fn fit(&self, blueprint: &BlueprintId) -> Option<usize> {
        let matching = self.applies_to.iter().filter(|p| p.matches(blueprint));
        matching.map(IdPattern::literal_prefix).max()
    }
}

/// Returns the setting for an issue of `blueprint`; `None` if no setting applies.
///
/// It selects the setting whose `applies_to` matches the id of the Blueprint. Among several, the
/// most specific matching pattern wins: the one with the most characters before its first wildcard.
/// Among equally specific ones, the first id in byte order wins. If none matches, the worker's own
/// setting applies, which `DRAFTSMAN_SETTING` names.
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
            review: ReviewPolicy::default(),
            revision: 1,
            updated_by: None,
            updated_at_ms: None,
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
            // The pattern of the worker's own setting has no priority.
            ("teams", "team.alpha.1", Some("b-prod")),
            ("teams", "unmatched", Some("teams")),
            // Equally specific: the first id in byte order wins.
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
