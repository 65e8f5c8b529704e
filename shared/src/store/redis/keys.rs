//! The names of all keys and channels. A changed name is a migration of stored data. The golden
//! test below fails on such a change.
//!
//! All keys of a script carry one hash tag, `{draftsman:<shard>}`, so the same scripts run on Redis
//! Cluster. A script receives its keys, with two exceptions that build them from a prefix with the
//! tag. The scripts of an issue use almost thirty keys, which `include/keys.lua` builds.
//! `list_blueprints` gives its reason in its header. Ids cannot contain `{`, `}`, `:` or `/` (see
//! [`crate::ids`]), so an id cannot change the structure of a key.

use crate::ids::{BlueprintId, IssueId};

/// The channel of all changes of all issues, as JSON. The changes of one issue are also published
/// to `<this channel>:issue:<issue_id>`, which `include/keys.lua` builds.
pub const EVENTS_CHANNEL: &str = "draftsman:events";

/// The channel of cancelled issue ids. A worker can stop in time without reading all events.
pub const CANCEL_CHANNEL: &str = "draftsman:cancelled";

/// The channel of moves of heads and channels, and of archived Blueprints, as JSON. A hint for the
/// watchers of Blueprints. `include/heads.lua` publishes them.
pub const HEADS_CHANNEL: &str = "draftsman:heads";

/// The channel of progress of flow steps, as JSON. A hint for watchers, never authoritative.
pub const STEPS_CHANNEL: &str = "draftsman:steps";

/// The pattern of all keys of all shards, in the syntax of ACL rules.
pub const KEY_PATTERN: &str = "{draftsman:*";

/// The pattern of all channels, in the syntax of ACL rules.
pub const CHANNEL_PATTERN: &str = "draftsman:*";

/// The number of hash slots in a Redis Cluster. `CRC16` computes the slot of a name (Redis Cluster
/// specification, "Key distribution model").
const N_SLOTS: u16 = 16_384;
const CRC16: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_XMODEM);

/// Returns the shard of an id among `n` shards. The function must never change: it locates stored
/// data.
pub(crate) fn shard_of(id: &str, n: usize) -> usize {
    usize::from(CRC16.checksum(id.as_bytes())) % n
}

/// The key names of one shard.
#[derive(Debug, Clone)]
pub struct Keys {
    shard: usize,
    prefix: std::sync::Arc<str>,
}

impl Keys {
    /// Returns the keys of the shard with this number, from 0.
    pub fn of_shard(shard: usize) -> Keys {
        Keys {
            shard,
            prefix: format!("{{draftsman:{shard}}}:").into(),
        }
    }

    /// Returns the number of the shard.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Returns the Redis Cluster slot of all keys of the shard: the slot of their hash tag.
    pub fn slot(&self) -> u16 {
        CRC16.checksum(format!("draftsman:{}", self.shard).as_bytes()) % N_SLOTS
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn of(&self, name: &str, id: &str) -> String {
        format!("{}{name}:{id}", self.prefix)
    }

    /// LIST of `<blueprint_id>/<issue_id>`: the oldest issue of each Blueprint that is free to run.
    /// Only `place_head` pushes to it.
    pub fn pending(&self) -> String {
        self.key("pending")
    }
    /// LIST of `<blueprint_id>/<issue_id>`: this worker's popped and unfinished elements. Filled by
    /// BRPOPLPUSH.
    pub fn processing(&self, worker: &str) -> String {
        self.of("processing", worker)
    }
    /// HASH blueprint_id → ready | leased | delayed | parked: the place of each queue's head.
    /// Absent for an empty queue.
    pub fn places(&self) -> String {
        self.key("places")
    }
    /// LIST of `<issue_id>|<joined ms>`: a Blueprint's undecided issues in the order in which they
    /// joined the queue: at their acceptance, or when their approval found another head. An issue
    /// in review is not in it.
    pub fn backlog(&self, blueprint: &BlueprintId) -> String {
        self.of("backlog", blueprint.as_str())
    }
    /// HASH blueprint_id (or `*` for all) → `<ms> <actor>`: the pauses.
    pub fn paused(&self) -> String {
        self.key("paused")
    }
    /// ZSET `<blueprint_id>/<issue_id>` → expiry of its lease, ms.
    pub fn leases(&self) -> String {
        self.key("leases")
    }
    /// ZSET `<blueprint_id>/<issue_id>` → end of its delay, ms.
    pub fn delayed(&self) -> String {
        self.key("delayed")
    }
    /// ZSET blueprint_id → submit time of its oldest unleased issue, ms.
    pub fn waiting(&self) -> String {
        self.key("waiting")
    }
    /// HASH of counters: pending (a gauge), submitted, applied, denied, failed, cancelled,
    /// declined, proposed, retries, reaped, repaired.
    pub fn counts(&self) -> String {
        self.key("counts")
    }
    /// STRING with expiry: present while no audit of the queues is due.
    pub fn audited(&self) -> String {
        self.key("audited")
    }
    /// STRING with expiry: present while no count of the decisions is due.
    pub fn activity_counted(&self) -> String {
        self.key("activity_counted")
    }
    /// STRING: the number of entries of [`Keys::decided`] that the figures of activity have.
    pub fn activity_cursor(&self) -> String {
        self.key("activity_cursor")
    }
    /// HASH `<part>|<figure>` → number, with expiry: the figures of one hour by minute, of one day
    /// by hour, or of 32 days by day (see `activity/figures.rs`); of one Blueprint, or of all.
    pub fn activity(&self, level: &str, span: u64, blueprint: Option<&BlueprintId>) -> String {
        match blueprint {
            Some(blueprint) => self.of(&format!("activity_{level}:{span}"), blueprint.as_str()),
            None => self.of(&format!("activity_{level}"), &span.to_string()),
        }
    }
    /// STRING with expiry: present while no prune is due.
    pub fn pruned(&self) -> String {
        self.key("pruned")
    }
    /// LIST of preview requests (JSON) that wait for a worker. Pushed by intake, popped by workers.
    pub fn previews(&self) -> String {
        self.key("previews")
    }
    /// STRING with expiry: the response (JSON) to one request of [`Keys::previews`].
    pub fn preview(&self, id: &IssueId) -> String {
        self.of("preview", id.as_str())
    }
    /// STRING: the fencing counter. It only rises.
    pub fn fence(&self) -> String {
        self.key("fence")
    }
    /// HASH of an issue's fields (see `codec/issue.rs`).
    pub fn issue(&self, issue: &IssueId) -> String {
        self.of("issue", issue.as_str())
    }
    /// STRING: an issue's intent, separate so that the hash keeps its compact encoding.
    pub fn intent(&self, issue: &IssueId) -> String {
        self.of("intent", issue.as_str())
    }
    /// HASH request key → output and cost (JSON): paid steps of an undecided issue. The fields
    /// `cost` and `cost_calls` hold the total cost of its spawner. Deleted by the decision.
    pub fn steps(&self, issue: &IssueId) -> String {
        self.of("steps", issue.as_str())
    }
    /// HASH: the newest proposal of an undecided issue (see `codec/proposal.rs`). Deleted by the
    /// decision. While the issue is verified again, only its patch is used.
    pub fn proposal(&self, issue: &IssueId) -> String {
        self.of("proposal", issue.as_str())
    }
    /// ZSET holder → end of its slot, ms, with expiry: the runs of the agent with this key (see
    /// `agent_slots.rs`).
    pub fn agent_slots(&self, agent: &str) -> String {
        self.of("agent_places", agent)
    }
    /// ZSET issue_id → submitted ms, of all issues.
    pub fn issues(&self) -> String {
        self.key("issues")
    }
    /// ZSET issue_id → submitted ms, of one Blueprint.
    pub fn issues_of(&self, blueprint: &BlueprintId) -> String {
        self.of("issues", blueprint.as_str())
    }
    /// ZSET issue_id → time of its failure, ms: the dead list.
    pub fn dead(&self) -> String {
        self.key("dead")
    }
    /// ZSET issue_id → time of its proposal, ms: the issues that wait for a review.
    pub fn in_review(&self) -> String {
        self.key("in_review")
    }
    /// ZSET `<blueprint_id>/<issue_id>` → time at which its proposal is declined, ms.
    pub fn review_due(&self) -> String {
        self.key("review_due")
    }
    /// HASH issue_id → log entry (JSON).
    pub fn log(&self) -> String {
        self.key("log")
    }
    /// LIST of issue_id in the order of decision.
    pub fn decided(&self) -> String {
        self.key("decided")
    }
    /// LIST of issue_id in the order of decision, of one Blueprint.
    pub fn decided_of(&self, blueprint: &BlueprintId) -> String {
        self.of("decided", blueprint.as_str())
    }
    /// HASH: a Blueprint's head: seq, version, label, archived, updated_at, and orbit_as_of. The
    /// latter is `<settings counter> <setting_id>`: the setting, if any, that named it as its orbit
    /// at that value of the counter.
    pub fn blueprint(&self, blueprint: &BlueprintId) -> String {
        self.of("blueprint", blueprint.as_str())
    }
    /// Returns the prefix of every Blueprint's head key, for the script that reads a page of them.
    pub fn blueprint_prefix(&self) -> String {
        self.of("blueprint", "")
    }
    /// HASH version → canonical YAML. Written once, never changed.
    pub fn documents(&self, blueprint: &BlueprintId) -> String {
        self.of("documents", blueprint.as_str())
    }
    /// HASH seq → commit (JSON). Written once, never changed.
    pub fn commits(&self, blueprint: &BlueprintId) -> String {
        self.of("commits", blueprint.as_str())
    }
    /// HASH version → seq of its newest commit.
    pub fn newest(&self, blueprint: &BlueprintId) -> String {
        self.of("newest", blueprint.as_str())
    }
    /// HASH version label → seq of its newest commit.
    pub fn labels(&self, blueprint: &BlueprintId) -> String {
        self.of("labels", blueprint.as_str())
    }
    /// HASH channel → version, seq, label, revision, at, by, reason (JSON).
    pub fn channels(&self, blueprint: &BlueprintId) -> String {
        self.of("channels", blueprint.as_str())
    }
    /// HASH channel → its last revision, including deleted channels.
    pub fn channel_revisions(&self, blueprint: &BlueprintId) -> String {
        self.of("channel_revisions", blueprint.as_str())
    }
    /// LIST of moves of channels (JSON), oldest first. Append-only.
    pub fn channel_moves(&self, blueprint: &BlueprintId) -> String {
        self.of("channel_moves", blueprint.as_str())
    }
    /// HASH consumer_id → its last report (JSON), with expiry.
    pub fn consumers(&self, blueprint: &BlueprintId) -> String {
        self.of("consumers", blueprint.as_str())
    }
    /// ZSET consumer_id → time of its last report or of its stream, ms, with expiry.
    pub fn consumers_seen(&self, blueprint: &BlueprintId) -> String {
        self.of("consumers_seen", blueprint.as_str())
    }
    /// ZSET blueprint_id → the newest time in its [`Keys::consumers_seen`], ms, with expiry.
    pub fn consumed(&self) -> String {
        self.key("consumed")
    }
    /// The keys of an import in progress, with expiry: documents, commits, newest, labels,
    /// channels, channel_revisions, channel_moves.
    pub fn staged(&self, import: &str) -> [String; 7] {
        [
            "documents",
            "commits",
            "newest",
            "labels",
            "channels",
            "channel_revisions",
            "channel_moves",
        ]
        .map(|name| self.of(&format!("staged_{name}"), import))
    }
    /// ZSET of blueprint_id, all with score 0: sorted by bytes.
    pub fn blueprints(&self) -> String {
        self.key("blueprints")
    }
    /// HASH setting_id → setting (JSON).
    pub fn settings(&self) -> String {
        self.key("settings")
    }
    /// HASH setting_id → its last revision, including deleted settings.
    pub fn setting_revisions(&self) -> String {
        self.key("setting_revisions")
    }
    /// STRING: a counter. It rises with every write or deletion of a setting, every write of an
    /// orbit that a setting names, and every move of a channel that a setting follows.
    pub fn settings_counter(&self) -> String {
        self.key("settings_counter")
    }
    /// HASH setting_id → `<blueprint_id> latest|labelled|pinned`, or `<blueprint_id> <channel>
    /// pinned`: the orbits in use. A new head is not selected if the entry ends in `pinned`. With
    /// several shards also `<setting_id> (announced) <ms> <uuid>` for a setting that is about to be
    /// written.
    pub fn orbits(&self) -> String {
        self.key("orbits")
    }
    /// ZSET worker_id → last heartbeat, ms.
    pub fn workers(&self) -> String {
        self.key("workers")
    }
    /// HASH worker_id → number of issues in flight at its last heartbeat.
    pub fn worker_load(&self) -> String {
        self.key("worker_load")
    }
    /// HASH worker_id → script names, one per line, axes as `verifiers/<axis>`: the scripts of each
    /// worker. Intake uses them to check what can run.
    pub fn worker_scripts(&self) -> String {
        self.key("worker_scripts")
    }
    /// HASH worker_id → the version of its program.
    pub fn worker_versions(&self) -> String {
        self.key("worker_versions")
    }
    /// HASH issue_id → `<blueprint_id>|<written ms>`: the location of each issue whose id hashes to
    /// this shard. Only with several shards.
    pub fn ids(&self) -> String {
        self.key("ids")
    }
    /// HASH: format and shards, written at the first start. With several shards also orbits_as_of:
    /// the settings counter of shard 0 for this shard's copy of `orbits`.
    pub fn meta(&self) -> String {
        self.key("meta")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_makes_of_the_prefix_is_the_key() {
        let keys = Keys::of_shard(7);
        let id = BlueprintId::parse("team.alpha").unwrap();
        let made = format!("{}{id}", keys.blueprint_prefix());
        assert_eq!(made, keys.blueprint(&id));
        assert!(made.starts_with("{draftsman:7}:"), "{made}");
    }

    /// The keys of the scripts of an issue, with their names in `include/keys.lua`.
    fn of_an_issue(keys: &Keys, bp: &BlueprintId, issue: &IssueId) -> [(&'static str, String); 30] {
        [
            ("issue", keys.issue(issue)),
            ("intent", keys.intent(issue)),
            ("steps", keys.steps(issue)),
            ("proposal", keys.proposal(issue)),
            ("backlog", keys.backlog(bp)),
            ("decided_here", keys.decided_of(bp)),
            ("issues_here", keys.issues_of(bp)),
            ("blueprint", keys.blueprint(bp)),
            ("documents", keys.documents(bp)),
            ("commits", keys.commits(bp)),
            ("newest", keys.newest(bp)),
            ("labels", keys.labels(bp)),
            ("processing", keys.processing("w-1")),
            ("places", keys.places()),
            ("pending", keys.pending()),
            ("paused", keys.paused()),
            ("leases", keys.leases()),
            ("delayed", keys.delayed()),
            ("waiting", keys.waiting()),
            ("counts", keys.counts()),
            ("log", keys.log()),
            ("decided", keys.decided()),
            ("dead", keys.dead()),
            ("in_review", keys.in_review()),
            ("review_due", keys.review_due()),
            ("issues", keys.issues()),
            ("fence", keys.fence()),
            ("orbits", keys.orbits()),
            ("settings_counter", keys.settings_counter()),
            ("workers", keys.workers()),
        ]
    }

    #[test]
    fn what_the_scripts_of_an_issue_build_are_the_keys() {
        let keys = Keys::of_shard(7);
        let bp = BlueprintId::parse("team.alpha").unwrap();
        let issue = IssueId::parse("i-1").unwrap();
        let script = include_str!("include/keys.lua");
        let lines = script.lines().filter_map(|line| {
            let (name, parts) = line.strip_prefix("  ")?.split_once(" = prefix .. ")?;
            let parts = parts
                .strip_suffix(',')?
                .split(" .. ")
                .map(|part| match part {
                    "id" => issue.as_str(),
                    "bp" => bp.as_str(),
                    "arg.holder" => "w-1",
                    literal => literal.trim_matches('\''),
                });
            let key = parts.fold(keys.prefix.to_string(), |key, part| key + part);
            Some((name, key))
        });
        let built: Vec<(&str, String)> = lines.collect();
        assert_eq!(built, of_an_issue(&keys, &bp, &issue));
        let channels = format!("EVENTS, CANCELLED = '{EVENTS_CHANNEL}', '{CANCEL_CHANNEL}'");
        assert!(script.contains(&channels), "{channels}");
        let heads = format!("HEADS = '{HEADS_CHANNEL}'");
        assert!(
            include_str!("include/heads.lua").contains(&heads),
            "{heads}"
        );
    }

    #[test]
    fn names_are_what_stored_data_has() {
        let keys = Keys::of_shard(0);
        let bp = BlueprintId::parse("team.alpha").unwrap();
        let issue = IssueId::parse("i-1").unwrap();
        let mut all = of_an_issue(&keys, &bp, &issue).map(|(_, key)| key).to_vec();
        all.extend([
            keys.blueprint_prefix(),
            keys.blueprints(),
            keys.settings(),
            keys.setting_revisions(),
            keys.worker_load(),
            keys.meta(),
            keys.worker_scripts(),
            keys.worker_versions(),
            keys.audited(),
            keys.pruned(),
            keys.previews(),
            keys.preview(&issue),
            keys.ids(),
            keys.agent_slots("a"),
            keys.channels(&bp),
            keys.channel_revisions(&bp),
            keys.channel_moves(&bp),
            keys.consumers(&bp),
            keys.consumers_seen(&bp),
            keys.consumed(),
            keys.activity_counted(),
            keys.activity_cursor(),
            keys.activity("minutes", 7, None),
            keys.activity("days", 7, Some(&bp)),
        ]);
        all.extend(keys.staged("n"));
        let expected = "issue:i-1 intent:i-1 steps:i-1 proposal:i-1 backlog:team.alpha decided:team.alpha issues:team.alpha \
            blueprint:team.alpha documents:team.alpha commits:team.alpha newest:team.alpha labels:team.alpha \
            processing:w-1 places pending paused leases delayed waiting counts log decided dead in_review review_due issues fence orbits \
            settings_counter workers blueprint: blueprints settings setting_revisions worker_load meta worker_scripts worker_versions \
            audited pruned previews preview:i-1 ids agent_places:a channels:team.alpha \
            channel_revisions:team.alpha channel_moves:team.alpha consumers:team.alpha consumers_seen:team.alpha \
            consumed activity_counted activity_cursor activity_minutes:7 activity_days:7:team.alpha \
            staged_documents:n staged_commits:n staged_newest:n staged_labels:n staged_channels:n \
            staged_channel_revisions:n staged_channel_moves:n";
        let expected: Vec<String> = expected
            .split_whitespace()
            .map(|k| format!("{{draftsman:0}}:{k}"))
            .collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn ids_stay_in_their_shards() {
        let shards =
            ["team.alpha", "support-swarm", "enhance-default", "b-1"].map(|id| shard_of(id, 4));
        assert_eq!(shards, [0, 3, 2, 3]);
        assert_eq!(shard_of("team.alpha", 1), 0);
        assert_eq!(Keys::of_shard(3).fence(), "{draftsman:3}:fence");
    }

    /// The expected values are from `CLUSTER KEYSLOT` of Redis 7.0.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(
            [0, 1, 2, 15].map(|n| Keys::of_shard(n).slot()),
            [9706, 13771, 1448, 2816]
        );
    }
}
