//! The embedded scripts. `--@include name` inserts the part with that name.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::fail_point;

const LIBRARY: [(&str, &str, &str); 11] = [
    (
        "keys",
        "redis/include/keys.lua",
        include_str!("../redis/include/keys.lua"),
    ),
    (
        "heads",
        "redis/include/heads.lua",
        include_str!("../redis/include/heads.lua"),
    ),
    (
        "place_head",
        "queue/include/place_head.lua",
        include_str!("../queue/include/place_head.lua"),
    ),
    (
        "announce",
        "queue/include/announce.lua",
        include_str!("../queue/include/announce.lua"),
    ),
    (
        "leave_queue",
        "queue/include/leave_queue.lua",
        include_str!("../queue/include/leave_queue.lua"),
    ),
    (
        "join_queue",
        "queue/include/join_queue.lua",
        include_str!("../queue/include/join_queue.lua"),
    ),
    (
        "commit",
        "queue/include/commit.lua",
        include_str!("../queue/include/commit.lua"),
    ),
    (
        "review",
        "queue/include/review.lua",
        include_str!("../queue/include/review.lua"),
    ),
    (
        "decide",
        "queue/include/decide.lua",
        include_str!("../queue/include/decide.lua"),
    ),
    (
        "orbit_right",
        "queue/include/orbit_right.lua",
        include_str!("../queue/include/orbit_right.lua"),
    ),
    (
        "grant",
        "queue/include/grant.lua",
        include_str!("../queue/include/grant.lua"),
    ),
];

/// A script with its name.
pub struct Script {
    name: &'static str,
    file: &'static str,
    source: String,
    script: redis::Script,
}

impl Script {
    fn new(name: &'static str, file: &'static str, embedded: &'static str) -> Script {
        let body = fail_point::script(file, embedded);
        let mut source = String::with_capacity(body.len() * 3);
        for line in body.lines() {
            match line.strip_prefix("--@include ") {
                Some(part) => source.push_str(&library(part)),
                None => source.push_str(line),
            }
            source.push('\n');
        }
        Script {
            name,
            file,
            script: redis::Script::new(&source),
            source,
        }
    }

    /// Returns the name in logs, metrics and tests.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the file below `shared/src/store`.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// Returns true if the script writes nothing.
    pub(crate) fn is_read_only(&self) -> bool {
        self.source.starts_with("#!lua flags=no-writes")
    }

    /// Returns the complete source that Redis receives.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn inner(&self) -> &redis::Script {
        &self.script
    }
}

fn library(part: &str) -> Cow<'static, str> {
    let found = LIBRARY.iter().find(|(name, _, _)| *name == part);
    let (_, file, embedded) = found.expect("a test holds every include against the library");
    fail_point::script(file, embedded)
}

macro_rules! scripts {
    ($($constant:ident = $name:literal in $file:literal),+ $(,)?) => {
        $(pub(crate) static $constant: LazyLock<Script> =
            LazyLock::new(|| Script::new($name, $file, include_str!(concat!("../", $file))));)+

        /// Returns all scripts.
        pub fn all() -> Vec<&'static Script> {
            vec![$(&$constant),+]
        }
    };
}

scripts! {
    SUBMIT_ISSUE = "submit_issue" in "queue/submit.lua",
    CLAIM_ISSUE = "claim_issue" in "queue/claim.lua",
    SETTLE_ISSUE = "settle_issue" in "queue/settle.lua",
    CANCEL_ISSUE = "cancel_issue" in "queue/cancel.lua",
    RELEASE_ISSUE = "release_issue" in "queue/release.lua",
    CACHE_STEP = "remember_step" in "queue/remember_step.lua",
    NOTE_COST = "note_cost" in "queue/note_cost.lua",
    HOLD_SLOT = "hold_place" in "workers/hold_slot.lua",
    RETURN_ELEMENT = "return_element" in "queue/return_element.lua",
    PROMOTE_ISSUE = "promote_issue" in "queue/promote.lua",
    REAP_ISSUE = "reap_issue" in "queue/reap.lua",
    BEAT_WORKER = "beat_worker" in "workers/beat.lua",
    AUDIT_QUEUE = "audit_queue" in "queue/audit.lua",
    PAUSE_QUEUE = "pause_queue" in "queue/pause.lua",
    RESUME_QUEUE = "resume_queue" in "queue/resume.lua",
    PRUNE_ISSUE = "prune_issue" in "queue/prune.lua",
    APPROVE_ISSUE = "approve_issue" in "reviews/approve.lua",
    DECLINE_ISSUE = "decline_issue" in "reviews/decline.lua",
    EXPIRE_REVIEW = "expire_review" in "reviews/expire.lua",
    PUT_BLUEPRINT = "put_blueprint" in "blueprints/put.lua",
    ARCHIVE_BLUEPRINT = "archive_blueprint" in "blueprints/archive.lua",
    STAGE_HISTORY = "stage_history" in "blueprints/stage.lua",
    IMPORT_BLUEPRINT = "import_blueprint" in "blueprints/import.lua",
    STAGE_CHANNELS = "stage_channels" in "blueprints/stage_channels.lua",
    SET_CHANNEL = "set_channel" in "channels/set.lua",
    DELETE_CHANNEL = "delete_channel" in "channels/delete.lua",
    REPORT_VERSION = "report_version" in "consumers/report.lua",
    SEE_CONSUMERS = "see_consumers" in "consumers/seen.lua",
    PUT_SETTING = "put_setting" in "settings/put.lua",
    DELETE_SETTING = "delete_setting" in "settings/delete.lua",
    MIRROR_ORBITS = "mirror_orbits" in "settings/mirror_orbits.lua",
    POINT_ISSUE = "point_issue" in "issues/point.lua",
    LIST_BLUEPRINTS = "list_blueprints" in "blueprints/list.lua",
    REQUEST_PREVIEW = "request_preview" in "previews/request.lua",
    COUNT_ACTIVITY = "count_activity" in "activity/count.lua",
    PROBE_RIGHTS = "probe_rights" in "redis/probe_rights.lua",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_put_together_whole() {
        for script in all() {
            assert!(
                script.source().starts_with("#!lua"),
                "{} has no shebang",
                script.name()
            );
            assert!(
                !script.source().contains("--@include"),
                "{} includes what is not there",
                script.name()
            );
        }
    }

    /// A script uses keys that it receives, or those of `include/keys.lua`. The header of the
    /// exception gives the reason.
    #[test]
    fn one_script_makes_names_of_keys() {
        let makes_name = |line: &str| {
            let line = line.split("--").next().unwrap_or_default();
            let calls = ["redis.call(", "redis.pcall("];
            let mut calls = calls.iter().flat_map(|call| line.split(call).skip(1));
            calls.any(|call| {
                let key = call.split([',', ')']).nth(1);
                key.is_some_and(|key| key.contains(".."))
            })
        };
        let made: Vec<&str> = all()
            .into_iter()
            .filter(|script| script.source().lines().any(makes_name))
            .map(|script| script.name())
            .collect();
        assert_eq!(made, ["list_blueprints"]);
    }

    /// The header of a script is its contract: it lists exactly the outcomes that the script
    /// returns.
    #[test]
    fn headers_name_exactly_the_outcomes() {
        for script in all() {
            let header: String = script
                .source()
                .lines()
                .take_while(|l| l.starts_with('-') || l.starts_with('#'))
                .collect();
            assert!(
                header.contains("KEYS") && header.contains("ARGV"),
                "{} lacks a header",
                script.name()
            );
            let outcomes = header
                .split("Outcomes")
                .nth(1)
                .expect("a header names its outcomes");
            let body = script.source();
            for returned in body
                .match_indices("return { '")
                .map(|(at, m)| &body[at + m.len()..])
            {
                let outcome = returned.split('\'').next().unwrap();
                assert!(
                    outcomes.contains(outcome),
                    "{} returns {outcome}, which its header does not name",
                    script.name()
                );
            }
        }
    }
}
