//! The scripts, embedded and put together: `--@include name` stands for `lib/name.lua`.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::fail_point;

const LIBRARY: [(&str, &str); 6] = [
    ("keys", include_str!("scripts/lib/keys.lua")),
    ("place_head", include_str!("scripts/lib/place_head.lua")),
    ("announce", include_str!("scripts/lib/announce.lua")),
    ("decide", include_str!("scripts/lib/decide.lua")),
    ("orbit_right", include_str!("scripts/lib/orbit_right.lua")),
    ("grant", include_str!("scripts/lib/grant.lua")),
];

/// A script with its name.
pub struct Script {
    name: &'static str,
    source: String,
    script: redis::Script,
}

impl Script {
    fn new(name: &'static str, embedded: &'static str) -> Script {
        let body = fail_point::script(&format!("{name}.lua"), embedded);
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
            script: redis::Script::new(&source),
            source,
        }
    }

    /// Its file's name without the ending.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// True if it writes nothing.
    pub(crate) fn is_read_only(&self) -> bool {
        self.source.starts_with("#!lua flags=no-writes")
    }

    /// The whole source as Redis gets it.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn inner(&self) -> &redis::Script {
        &self.script
    }
}

fn library(part: &str) -> Cow<'static, str> {
    let found = LIBRARY.iter().find(|(name, _)| *name == part);
    let (_, embedded) = found.expect("a test holds every include against the library");
    fail_point::script(&format!("lib/{part}.lua"), embedded)
}

macro_rules! scripts {
    ($($constant:ident = $file:literal),+ $(,)?) => {
        $(pub(crate) static $constant: LazyLock<Script> =
            LazyLock::new(|| Script::new($file, include_str!(concat!("scripts/", $file, ".lua"))));)+

        /// Every script there is.
        pub fn all() -> Vec<&'static Script> {
            vec![$(&$constant),+]
        }
    };
}

scripts! {
    SUBMIT_ISSUE = "submit_issue",
    CLAIM_ISSUE = "claim_issue",
    SETTLE_ISSUE = "settle_issue",
    CANCEL_ISSUE = "cancel_issue",
    RELEASE_ISSUE = "release_issue",
    REMEMBER_STEP = "remember_step",
    NOTE_COST = "note_cost",
    HOLD_PLACE = "hold_place",
    RETURN_ELEMENT = "return_element",
    PROMOTE_ISSUE = "promote_issue",
    REAP_ISSUE = "reap_issue",
    BEAT_WORKER = "beat_worker",
    AUDIT_QUEUE = "audit_queue",
    PAUSE_QUEUE = "pause_queue",
    RESUME_QUEUE = "resume_queue",
    PRUNE_ISSUE = "prune_issue",
    PUT_BLUEPRINT = "put_blueprint",
    ARCHIVE_BLUEPRINT = "archive_blueprint",
    STAGE_HISTORY = "stage_history",
    IMPORT_BLUEPRINT = "import_blueprint",
    RANK_LABELS = "rank_labels",
    PUT_SETTING = "put_setting",
    DELETE_SETTING = "delete_setting",
    MIRROR_ORBITS = "mirror_orbits",
    POINT_ISSUE = "point_issue",
    LIST_BLUEPRINTS = "list_blueprints",
    REQUEST_PREVIEW = "request_preview",
    PROBE_RIGHTS = "probe_rights",
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

    /// A script touches the keys that it is given, and makes no name of one: a cluster finds the node by the given
    /// keys. The exception says in its header why it may.
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

    /// The header of a script is its contract: each outcome that it names is returned
    /// somewhere, and each that is returned is named.
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
