//! The rules that hold after every call. One read-only script (`invariants.lua`) checks them inside
//! Redis: a dump after each of some thousand calls a second would take most of the time.

use redis::{Cmd, cmd};
use shared::ids::{BlueprintId, IssueId, WorkerId};
use shared::store::Shard;

use crate::simulation::ledger::MAX_ATTEMPTS;

const SCRIPT: &str = include_str!("invariants.lua");

/// The loaded check, with all constant arguments.
#[derive(Debug)]
pub(super) struct Invariants {
    keys: Vec<String>,
    prefixes: Vec<String>,
    blueprints: Vec<BlueprintId>,
    sha: String,
}

/// The result of the check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of decided issues.
    pub(super) n_decided: usize,
    /// The last decided issue; empty without one.
    pub(super) last_decided: String,
    /// The number of expired leases.
    pub(super) n_over: usize,
    /// The number of due delayed issues.
    pub(super) n_due: usize,
    /// Each violated rule: its name, a colon, and the violation.
    pub(super) broken: Vec<String>,
}

impl Invariants {
    /// Loads the script for a store that has exactly these Blueprints.
    ///
    /// # Panics
    /// If Redis rejects the script.
    pub(super) async fn load(store: &Shard, blueprints: Vec<BlueprintId>) -> Self {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(SCRIPT);
        let sha = store.handle().command("load", &load).await;
        let keys = store.keys();
        let any_issue = IssueId::parse("any").expect("an id");
        let any = BlueprintId::parse("any").expect("an id");
        let prefix = |key: String| key.strip_suffix("any").map(str::to_owned);
        let prefixes = [
            keys.issue(&any_issue),
            keys.backlog(&any),
            keys.processing("any"),
            keys.blueprint(&any),
            keys.documents(&any),
            keys.commits(&any),
            keys.newest(&any),
        ];
        Self {
            keys: vec![
                keys.pending(),
                keys.places(),
                keys.leases(),
                keys.delayed(),
                keys.waiting(),
                keys.counts(),
                keys.log(),
                keys.decided(),
                keys.issues(),
                keys.workers(),
                keys.dead(),
                keys.paused(),
                keys.in_review(),
                keys.review_due(),
            ],
            prefixes: prefixes
                .into_iter()
                .map(|key| prefix(key).expect("a key ends with its id"))
                .collect(),
            blueprints,
            sha: sha.expect("Redis compiles the check"),
        }
    }

    /// Checks the rules after a call about this Blueprint and this issue.
    ///
    /// `must_be_parked`: the call has placed the queue's head while it is paused. `dropped_by`: the
    /// worker from which the call has taken the issue.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub(super) async fn check(
        &self,
        store: &Shard,
        blueprint: Option<&BlueprintId>,
        issue: Option<&IssueId>,
        must_be_parked: bool,
        dropped_by: Option<&WorkerId>,
    ) -> Found {
        let mut call = self.call();
        call.arg(blueprint.map(BlueprintId::as_str).unwrap_or_default());
        call.arg(issue.map(IssueId::as_str).unwrap_or_default());
        call.arg(if must_be_parked { "1" } else { "" });
        call.arg(dropped_by.map(WorkerId::as_str).unwrap_or_default());
        for name in &self.blueprints {
            call.arg(name.as_str());
        }
        let answer: Result<Vec<String>, _> = store.handle().command("check", &call).await;
        let mut answer = answer.expect("the check runs").into_iter();
        Found {
            n_decided: number(answer.next()),
            last_decided: answer.next().expect("an id or nothing"),
            n_over: number(answer.next()),
            n_due: number(answer.next()),
            broken: answer.collect(),
        }
    }

    fn call(&self) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.sha).arg(self.keys.len()).arg(&self.keys);
        call.arg(&self.prefixes).arg(MAX_ATTEMPTS);
        call
    }
}

fn number(text: Option<String>) -> usize {
    let number = text.and_then(|text| text.parse().ok());
    number.expect("the check answers a number")
}

#[cfg(test)]
mod tests {
    use crate::simulation::scheduler::Scheduler;
    use crate::simulation::world::World;

    /// The effect of one raw command on sound queues, and the rule that it violates. `H` is a ready
    /// head, `L` a leased one, `B` and `M` their Blueprints.
    const DAMAGES: [(&str, &str); 22] = [
        ("DEL pending", "place"),
        ("LPUSH pending B/H", "place"),
        ("HSET places B parked", "place"),
        ("HSET places M ready", "place"),
        ("HDEL places M", "place"),
        ("LPUSH pending M/L", "stray"),
        ("ZADD leases 1 B/H", "stray"),
        ("ZADD delayed 1 B/H", "stray"),
        ("LPUSH backlog:M unknown|1", "queue"),
        ("RPUSH backlog:B H|1", "queue"),
        ("HSET issue:L state applied", "queue"),
        ("HSET issue:L deaths 99", "attempts"),
        ("HDEL issue:L token", "token"),
        ("HSET issue:H token t", "token"),
        ("ZADD waiting 1 B", "waiting"),
        ("HINCRBY counts pending 1", "counts"),
        ("ZADD in_review 1 H", "review"),
        ("ZADD review_due 1 B/H", "review"),
        ("ZADD issues 1 unknown", "lost"),
        ("HSET log unknown {}", "log"),
        ("HDEL newest:M V", "chain"),
        ("HDEL documents:M V", "chain"),
    ];

    async fn broken(world: &World, issue: &super::IssueId) -> Vec<String> {
        let issue = &world.ledger.issues[issue].issue;
        let (blueprint, id) = (Some(&issue.blueprint_id), Some(&issue.issue_id));
        let check = world
            .invariants
            .check(&world.fixture.store, blueprint, id, false, None);
        check.await.broken
    }

    #[tokio::test]
    async fn each_damage_breaks_the_rule_that_names_it() {
        let mut scheduler = Scheduler::new(5).await;
        // Runs until there is a ready head and a leased one.
        let (ready, leased) = loop {
            scheduler.run(20).await.expect("no rule is broken");
            let world = &scheduler.world;
            let pending = world.fixture.pending().await;
            let Some(element) = pending.first() else {
                continue;
            };
            // The worker of a lease may not know yet that its issue is decided.
            let mut leased = None;
            for lease in world.ledger.running_leases() {
                let key = world.fixture.store.keys().issue(&lease.issue.issue_id);
                let state: String = world.fixture.raw(&["HGET", &key, "state"]).await;
                if state == "in_flight" {
                    leased = Some(lease.issue);
                }
            }
            if let Some(leased) = leased {
                let ready = shared::store::IssueRef::parse(element).expect("an element");
                break (ready, leased);
            }
        };
        let world = &scheduler.world;
        let fixture = &world.fixture;
        let prefix = fixture.store.keys().pending();
        let prefix = prefix.strip_suffix("pending").expect("its name");
        let head = fixture.store.keys().blueprint(&leased.blueprint_id);
        let version: String = fixture.raw(&["HGET", &head, "version"]).await;
        for (damage, rule) in DAMAGES {
            assert_eq!(broken(world, &leased.issue_id).await, Vec::<String>::new());
            let named = |word: &str| {
                let parts = word.split_inclusive([':', '/', '|']);
                let part = |part: &str| {
                    let name = part.trim_end_matches([':', '/', '|']);
                    let end = &part[name.len()..];
                    let name = match name {
                        "H" => ready.issue_id.as_str(),
                        "L" => leased.issue_id.as_str(),
                        "B" => ready.blueprint_id.as_str(),
                        "M" => leased.blueprint_id.as_str(),
                        "V" => &version,
                        other => other,
                    };
                    format!("{name}{end}")
                };
                parts.map(part).collect::<String>()
            };
            let mut words: Vec<String> = damage.split(' ').map(named).collect();
            words[1] = format!("{prefix}{}", words[1]);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let key = words[1];
            // Each case starts from the same sound queues.
            let copy = format!("{key}.copy");
            let _: i64 = fixture.raw(&["COPY", key, &copy]).await;
            let _: redis::Value = fixture.raw(&words).await;
            let found = broken(world, &leased.issue_id).await;
            let is_named = found
                .iter()
                .any(|found| found.starts_with(&format!("{rule}: ")));
            assert!(is_named, "{words:?} is not found as {rule}: {found:?}");
            let _: i64 = fixture.raw(&["DEL", key]).await;
            if fixture.raw::<i64>(&["EXISTS", &copy]).await == 1 {
                let _: String = fixture.raw(&["RENAME", &copy, key]).await;
            }
        }
    }
}
