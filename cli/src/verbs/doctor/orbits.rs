//! Checks whether an orbit still reaches decisions: its last issues must not all have failed.

use std::collections::BTreeMap;

use proto::v1::{EnhanceSetting, ListLogEntriesRequest, LogEntry};
use shared::domain::bundled::DEFAULT_SETTING;
use shared::domain::id_pattern::IdPattern;

use super::Check;
use crate::client::Client;

/// The number of log entries to read.
const ENTRIES: i32 = 200;
/// The number of issues of an orbit to judge it by. Fewer prove nothing.
const LAST: usize = 5;

/// Checks the orbits of these settings by the newest log entries.
pub(super) async fn examine(client: &Client, settings: &[EnhanceSetting]) -> Check {
    let request = ListLogEntriesRequest {
        newest_first: true,
        page_size: ENTRIES,
        ..Default::default()
    };
    match client.log.clone().list_log_entries(request).await {
        Ok(page) => judge(settings, &page.into_inner().entries),
        Err(status) => Check::bad(
            "orbits",
            format!(
                "intake did not answer: {:?}: {}",
                status.code(),
                status.message()
            ),
            "look at intake's log",
        ),
    }
}

/// Judges orbits by their decided issues, newest first.
fn judge(settings: &[EnhanceSetting], entries: &[LogEntry]) -> Check {
    let mut causes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    // A cancelled issue says nothing about its orbit.
    for entry in entries.iter().filter(|entry| entry.cause != "cancelled") {
        if let Some(orbit) = orbit_for(settings, &entry.blueprint_id) {
            causes.entry(orbit).or_default().push(&entry.cause);
        }
    }
    let has_failed = |causes: &Vec<&str>| {
        let last = causes.iter().take(LAST);
        causes.len() >= LAST && last.into_iter().all(|cause| *cause == "failed")
    };
    let failing = causes.iter().filter(|(_, causes)| has_failed(causes));
    let failing: Vec<&str> = failing.map(|(orbit, _)| *orbit).collect();
    match failing.is_empty() {
        true => Check::ok("orbits", "each reaches decisions"),
        false => Check::warn(
            "orbits",
            format!("the last {LAST} issues of {} failed", failing.join(", ")),
            "`draftsman issues --cause failed` shows the reasons",
        ),
    }
}

/// Returns the orbit of the setting for a Blueprint: the most specific match of `applies_to`, else
/// the setting that workers use by default. It may differ for workers with DRAFTSMAN_SETTING.
fn orbit_for<'a>(settings: &'a [EnhanceSetting], blueprint_id: &str) -> Option<&'a str> {
    let id = shared::ids::BlueprintId::parse(blueprint_id).ok()?;
    let fit = |setting: &EnhanceSetting| {
        let patterns = setting.applies_to.iter();
        let patterns = patterns.filter_map(|pattern| IdPattern::parse(pattern).ok());
        let matching = patterns.filter(|pattern| pattern.matches(&id));
        matching.map(|pattern| pattern.literal_prefix()).max()
    };
    let fitting = settings
        .iter()
        .filter_map(|setting| Some((fit(setting)?, setting)));
    let best = fitting.max_by(|(a, one), (b, other)| a.cmp(b).then(other.id.cmp(&one.id)));
    let default = || {
        settings
            .iter()
            .find(|setting| setting.id == DEFAULT_SETTING)
    };
    let chosen = best.map(|(_, setting)| setting).or_else(default)?;
    Some(&chosen.blueprint_id)
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    fn setting(id: &str, orbit: &str, applies_to: &[&str]) -> EnhanceSetting {
        EnhanceSetting {
            id: id.to_owned(),
            blueprint_id: orbit.to_owned(),
            applies_to: applies_to.iter().map(|p| (*p).to_owned()).collect(),
            ..Default::default()
        }
    }

    fn entry(blueprint_id: &str, cause: &str) -> LogEntry {
        LogEntry {
            blueprint_id: blueprint_id.to_owned(),
            cause: cause.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn an_orbit_whose_last_issues_failed_is_named() {
        let settings = [
            setting("default", "sound", &[]),
            setting("teams", "broken", &["team.*"]),
        ];
        let mut entries = vec![entry("other", "failed"), entry("other", "")];
        let failed = std::iter::repeat_n(entry("team.a", "failed"), LAST - 1);
        entries.extend(failed);
        entries.push(entry("team.a", "cancelled"));
        assert_eq!(judge(&settings, &entries).finding, Finding::Ok);
        entries.push(entry("team.b", "failed"));
        let check = judge(&settings, &entries);
        assert_eq!(check.finding, Finding::Warn);
        assert!(check.found.ends_with("of broken failed"), "{check:?}");
        // An older success does not count, a newer one does.
        entries.push(entry("team.b", ""));
        assert_eq!(judge(&settings, &entries).finding, Finding::Warn);
        entries.insert(0, entry("team.b", "denied"));
        assert_eq!(judge(&settings, &entries).finding, Finding::Ok);
    }
}
