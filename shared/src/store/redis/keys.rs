//! The name of every key and channel. A changed name is a migration of stored data, so the
//! golden test below has to be changed with it, knowingly.
//!
//! All keys of a script carry one hash tag, `{draftsman:<shard>}`, so that the same scripts
//! run on Redis Cluster. A script is given every key that it touches; `list_blueprints` says why it is the one that
//! makes names itself, of a prefix with the tag. Ids cannot hold `{`, `}`, `:` or `/` (see [`crate::ids`]), so no id
//! can make a key of another.

use crate::ids::{BlueprintId, IssueId};

/// Every change of every issue, as JSON.
pub const EVENTS_CHANNEL: &str = "draftsman:events";

/// Ids of issues that were called off, so that a worker need not listen to everything to stop in time.
pub const CANCEL_CHANNEL: &str = "draftsman:cancelled";

/// What the steps of long runs are doing, as JSON: a hint for who watches, and never the truth.
pub const STEPS_CHANNEL: &str = "draftsman:steps";

/// What the name of every key matches, of all shards, as access rules write it.
pub const KEY_PATTERN: &str = "{draftsman:*";

/// What the name of every channel matches, as access rules write it.
pub const CHANNEL_PATTERN: &str = "draftsman:*";

/// The channel of one issue's changes.
pub fn issue_channel(issue: &str) -> String {
    format!("draftsman:events:issue:{issue}")
}

/// The hash slots of a Redis Cluster, and how a name's slot is found in it (Redis Cluster specification, "Key
/// distribution model").
const N_SLOTS: u16 = 16_384;
const CRC16: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_XMODEM);

/// Which of `n` shards an id belongs to. Fixed for ever: it says where stored data is.
pub(crate) fn shard_of(id: &str, n: usize) -> usize {
    usize::from(CRC16.checksum(id.as_bytes())) % n
}

/// Names the keys of one shard.
#[derive(Debug, Clone)]
pub struct Keys {
    shard: usize,
    prefix: std::sync::Arc<str>,
}

impl Keys {
    /// The keys of the shard of this number, from 0.
    pub fn of_shard(shard: usize) -> Keys {
        Keys {
            shard,
            prefix: format!("{{draftsman:{shard}}}:").into(),
        }
    }

    /// The number of the shard.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// The slot of a Redis Cluster in which all keys of the shard lie: that of their hash tag.
    pub fn slot(&self) -> u16 {
        CRC16.checksum(format!("draftsman:{}", self.shard).as_bytes()) % N_SLOTS
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn of(&self, name: &str, id: &str) -> String {
        format!("{}{name}:{id}", self.prefix)
    }

    /// LIST of `<blueprint_id>/<issue_id>`: the oldest issue of each Blueprint that is free to run. Pushed by `place_head` alone.
    pub fn pending(&self) -> String {
        self.key("pending")
    }
    /// LIST of `<blueprint_id>/<issue_id>`: what this worker has popped and not finished. Filled by BRPOPLPUSH.
    pub fn processing(&self, worker: &str) -> String {
        self.of("processing", worker)
    }
    /// HASH blueprint_id → ready | leased | delayed | parked: where each queue's head is. Absent: the queue is empty.
    pub fn places(&self) -> String {
        self.key("places")
    }
    /// LIST of `<issue_id>|<submitted ms>`: a Blueprint's undecided issues in the order of acceptance.
    pub fn backlog(&self, blueprint: &BlueprintId) -> String {
        self.of("backlog", blueprint.as_str())
    }
    /// HASH blueprint_id (or `*` for all) → since ms: what is paused.
    pub fn paused(&self) -> String {
        self.key("paused")
    }
    /// ZSET `<blueprint_id>/<issue_id>` → when its lease ends, ms.
    pub fn leases(&self) -> String {
        self.key("leases")
    }
    /// ZSET `<blueprint_id>/<issue_id>` → when it is due again, ms.
    pub fn delayed(&self) -> String {
        self.key("delayed")
    }
    /// ZSET blueprint_id → when its oldest issue that no worker has was submitted, ms.
    pub fn waiting(&self) -> String {
        self.key("waiting")
    }
    /// HASH of counters: pending (a gauge), submitted, applied, denied, failed, cancelled, retries, reaped, repaired.
    pub fn counts(&self) -> String {
        self.key("counts")
    }
    /// STRING, expires: there while nobody need audit the queues.
    pub fn audited(&self) -> String {
        self.key("audited")
    }
    /// STRING, expires: there while nobody need prune issues.
    pub fn pruned(&self) -> String {
        self.key("pruned")
    }
    /// LIST of requests (JSON) that wait for a worker to be tried out. Pushed by intake, popped by workers.
    pub fn previews(&self) -> String {
        self.key("previews")
    }
    /// STRING, expires: the answer (JSON) to one request of [`Keys::previews`].
    pub fn preview(&self, id: &IssueId) -> String {
        self.of("preview", id.as_str())
    }
    /// STRING: the fencing counter; only rises.
    pub fn fence(&self) -> String {
        self.key("fence")
    }
    /// HASH of an issue's fields (see `stored.rs`).
    pub fn issue(&self, issue: &IssueId) -> String {
        self.of("issue", issue.as_str())
    }
    /// STRING: an issue's intent, apart so that the hash keeps its compact form.
    pub fn intent(&self, issue: &IssueId) -> String {
        self.of("intent", issue.as_str())
    }
    /// HASH of what was asked → output and cost (JSON): steps of an undecided issue that were paid for; and `cost` and
    /// `cost_calls`, what its spawner has cost so far. Gone when it is decided.
    pub fn steps(&self, issue: &IssueId) -> String {
        self.of("steps", issue.as_str())
    }
    /// ZSET holder → when its place ends, ms; expires: who runs the agent of this key (see `places.rs`).
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
    /// ZSET issue_id → when it was given up, ms: the dead list.
    pub fn dead(&self) -> String {
        self.key("dead")
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
    /// HASH: a Blueprint's moving head: seq, version, label, archived, updated_at; and orbit_as_of,
    /// `<settings counter> <setting_id>`: which setting named it as its orbit at that value of the counter, if one did.
    pub fn blueprint(&self, blueprint: &BlueprintId) -> String {
        self.of("blueprint", blueprint.as_str())
    }
    /// What the key of every Blueprint's head begins with, for the script that reads a page of them.
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
    /// HASH rank of a version label (see `label_rank.rs`) → seq of its newest commit.
    pub fn labels(&self, blueprint: &BlueprintId) -> String {
        self.of("labels", blueprint.as_str())
    }
    /// ZSET of the ranks of version labels, all with score 0: in the order of precedence.
    pub fn ranks(&self, blueprint: &BlueprintId) -> String {
        self.of("ranks", blueprint.as_str())
    }
    /// The HASHes documents, commits, newest and labels and the ZSET ranks of a history that is being imported; they expire.
    pub fn staged(&self, import: &str) -> [String; 5] {
        ["documents", "commits", "newest", "labels", "ranks"]
            .map(|name| self.of(&format!("staged_{name}"), import))
    }
    /// ZSET of blueprint_id, all with score 0: in the order of their bytes.
    pub fn blueprints(&self) -> String {
        self.key("blueprints")
    }
    /// HASH setting_id → setting (JSON).
    pub fn settings(&self) -> String {
        self.key("settings")
    }
    /// HASH setting_id → its last revision, also of settings that are deleted.
    pub fn setting_revisions(&self) -> String {
        self.key("setting_revisions")
    }
    /// STRING: rises with every write or deletion of a setting, and every write of an orbit that a setting names.
    pub fn settings_counter(&self) -> String {
        self.key("settings_counter")
    }
    /// HASH setting_id → `<blueprint_id> latest|labelled|pinned`: which orbits are in use. With several shards also
    /// `<setting_id> (announced) <ms> <uuid>`, of a setting that is about to be written.
    pub fn orbits(&self) -> String {
        self.key("orbits")
    }
    /// ZSET worker_id → last heartbeat, ms.
    pub fn workers(&self) -> String {
        self.key("workers")
    }
    /// HASH worker_id → issues in flight at its last heartbeat.
    pub fn worker_load(&self) -> String {
        self.key("worker_load")
    }
    /// HASH worker_id → script names, one a line, axes as `verifiers/<axis>`: what it has, so that the edge
    /// knows what can run.
    pub fn worker_scripts(&self) -> String {
        self.key("worker_scripts")
    }
    /// HASH issue_id → `<blueprint_id>|<written ms>`: where the issues are whose ids belong to this shard. Only with several shards.
    pub fn ids(&self) -> String {
        self.key("ids")
    }
    /// HASH: format and shards, written at the first start; with several shards also orbits_as_of, the settings counter of
    /// shard 0 that this shard's copy of `orbits` was made at.
    pub fn meta(&self) -> String {
        self.key("meta")
    }

    /// The keys of one issue and its queue, in the order that `scripts/lib/keys.lua` reads.
    /// `holder` is the worker whose processing list is meant; `-` if none is.
    pub fn issue_block(
        &self,
        blueprint: &BlueprintId,
        issue: &IssueId,
        holder: &str,
    ) -> Vec<String> {
        self.issue_block_of(blueprint, issue.as_str(), holder)
    }

    /// As [`Keys::issue_block`], for a queue that may have no head: `-` stands for its id.
    pub fn issue_block_of(
        &self,
        blueprint: &BlueprintId,
        issue: &str,
        holder: &str,
    ) -> Vec<String> {
        vec![
            self.of("issue", issue),
            self.of("intent", issue),
            self.backlog(blueprint),
            self.places(),
            self.pending(),
            self.paused(),
            self.leases(),
            self.delayed(),
            self.waiting(),
            self.counts(),
            self.log(),
            self.decided(),
            self.decided_of(blueprint),
            self.dead(),
            self.processing(holder),
            self.of("steps", issue),
        ]
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

    #[test]
    fn names_are_what_stored_data_has() {
        let keys = Keys::of_shard(0);
        let bp = BlueprintId::parse("team.alpha").unwrap();
        let issue = IssueId::parse("i-1").unwrap();
        let mut all = keys.issue_block(&bp, &issue, "w-1");
        all.extend([
            keys.issues(),
            keys.issues_of(&bp),
            keys.blueprint(&bp),
            keys.blueprint_prefix(),
            keys.documents(&bp),
            keys.commits(&bp),
            keys.newest(&bp),
            keys.labels(&bp),
            keys.ranks(&bp),
            keys.blueprints(),
            keys.settings(),
            keys.setting_revisions(),
            keys.settings_counter(),
            keys.orbits(),
            keys.workers(),
            keys.worker_load(),
            keys.fence(),
            keys.meta(),
            keys.worker_scripts(),
            keys.audited(),
            keys.pruned(),
            keys.previews(),
            keys.preview(&issue),
            keys.ids(),
            keys.agent_slots("a"),
        ]);
        all.extend(keys.staged("n"));
        let expected = "issue:i-1 intent:i-1 backlog:team.alpha places pending paused leases delayed waiting counts log \
            decided decided:team.alpha dead processing:w-1 steps:i-1 issues issues:team.alpha blueprint:team.alpha blueprint: \
            documents:team.alpha commits:team.alpha newest:team.alpha labels:team.alpha ranks:team.alpha blueprints settings \
            setting_revisions settings_counter orbits workers worker_load fence meta worker_scripts audited pruned previews \
            preview:i-1 ids agent_places:a staged_documents:n staged_commits:n staged_newest:n staged_labels:n staged_ranks:n";
        let expected: Vec<String> = expected
            .split_whitespace()
            .map(|k| format!("{{draftsman:0}}:{k}"))
            .collect();
        assert_eq!(all, expected);
        assert_eq!(issue_channel(issue.as_str()), "draftsman:events:issue:i-1");
    }

    #[test]
    fn ids_stay_in_their_shards() {
        let shards =
            ["team.alpha", "support-swarm", "enhance-default", "b-1"].map(|id| shard_of(id, 4));
        assert_eq!(shards, [0, 3, 2, 3]);
        assert_eq!(shard_of("team.alpha", 1), 0);
        assert_eq!(Keys::of_shard(3).fence(), "{draftsman:3}:fence");
    }

    /// As `CLUSTER KEYSLOT` of Redis 7.0 answers.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(
            [0, 1, 2, 15].map(|n| Keys::of_shard(n).slot()),
            [9706, 13771, 1448, 2816]
        );
    }
}
