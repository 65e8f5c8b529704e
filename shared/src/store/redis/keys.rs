//! The names of all keys and channels. A changed name is a migration of stored data. The golden
//! test below fails on such a change.
//!
//! All keys of a script carry one hash tag, `{draftsman:<shard>}`, so the same scripts run on Redis
//! Cluster. A script receives every key that it uses. `list_blueprints` is the exception: it builds
//! names from a prefix with the tag, and its header gives the reason. Ids cannot contain `{`, `}`,
//! `:` or `/` (see [`crate::ids`]), so an id cannot change the structure of a key.

use crate::ids::{BlueprintId, IssueId};

/// The channel of all changes of all issues, as JSON.
pub const EVENTS_CHANNEL: &str = "draftsman:events";

/// The channel of cancelled issue ids. A worker can stop in time without reading all events.
pub const CANCEL_CHANNEL: &str = "draftsman:cancelled";

/// The channel of progress of flow steps, as JSON. A hint for watchers, never authoritative.
pub const STEPS_CHANNEL: &str = "draftsman:steps";

/// The pattern of all keys of all shards, in the syntax of ACL rules.
pub const KEY_PATTERN: &str = "{draftsman:*";

/// The pattern of all channels, in the syntax of ACL rules.
pub const CHANNEL_PATTERN: &str = "draftsman:*";

/// Returns the channel of one issue's changes.
pub fn issue_channel(issue: &str) -> String {
    format!("draftsman:events:issue:{issue}")
}

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
    /// LIST of `<issue_id>|<submitted ms>`: a Blueprint's undecided issues in the order of
    /// acceptance.
    pub fn backlog(&self, blueprint: &BlueprintId) -> String {
        self.of("backlog", blueprint.as_str())
    }
    /// HASH blueprint_id (or `*` for all) → pause time, ms: the pauses.
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
    /// HASH of counters: pending (a gauge), submitted, applied, denied, failed, cancelled, retries,
    /// reaped, repaired.
    pub fn counts(&self) -> String {
        self.key("counts")
    }
    /// STRING with expiry: present while no audit of the queues is due.
    pub fn audited(&self) -> String {
        self.key("audited")
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
    /// HASH rank of a version label (see `label_rank.rs`) → seq of its newest commit.
    pub fn labels(&self, blueprint: &BlueprintId) -> String {
        self.of("labels", blueprint.as_str())
    }
    /// ZSET of the ranks of version labels, all with score 0: sorted by precedence.
    pub fn ranks(&self, blueprint: &BlueprintId) -> String {
        self.of("ranks", blueprint.as_str())
    }
    /// The HASHes documents, commits, newest and labels and the ZSET ranks of an import in
    /// progress, with expiry.
    pub fn staged(&self, import: &str) -> [String; 5] {
        ["documents", "commits", "newest", "labels", "ranks"]
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
    /// STRING: a counter. It rises with every write or deletion of a setting, and every write of an
    /// orbit that a setting names.
    pub fn settings_counter(&self) -> String {
        self.key("settings_counter")
    }
    /// HASH setting_id → `<blueprint_id> latest|labelled|pinned`: the orbits in use. With several
    /// shards also `<setting_id> (announced) <ms> <uuid>` for a setting that is about to be
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

    /// Returns the keys of one issue and its queue, in the order of `include/keys.lua`. `holder` is
    /// the worker of the processing list, or `-` without one.
    pub fn issue_block(
        &self,
        blueprint: &BlueprintId,
        issue: &IssueId,
        holder: &str,
    ) -> Vec<String> {
        self.issue_block_of(blueprint, issue.as_str(), holder)
    }

    /// Returns the same keys as [`Keys::issue_block`], for a queue that can be empty: `-` replaces
    /// the id of its head.
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
            keys.worker_versions(),
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
            setting_revisions settings_counter orbits workers worker_load fence meta worker_scripts worker_versions audited pruned previews \
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

    /// The expected values are from `CLUSTER KEYSLOT` of Redis 7.0.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(
            [0, 1, 2, 15].map(|n| Keys::of_shard(n).slot()),
            [9706, 13771, 1448, 2816]
        );
    }
}
