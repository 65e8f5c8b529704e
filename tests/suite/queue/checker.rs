//! Tests the checker: for each rule, damage that exactly this rule catches, applied to the snapshot
//! and to Redis.

use proto::v1;
use shared::ids::{BlueprintId, IssueId};
use shared::store::redis::keys::Keys;
use tests::blueprint_watcher::BlueprintWatcher;
use tests::checker::{Attempts, Follower, Rule, Snapshot, assert_sound, violations};
use tests::factory;
use tests::rig::Rig;

/// A rig in which two Blueprints had three issues each, of which the third is denied. A channel of
/// the first one was moved and deleted, and one is left; both are watched.
async fn worked_on() -> (Rig, Snapshot) {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    let mut watched = Vec::new();
    for blueprint_id in ["a", "b"] {
        rig.client.put(factory::small(blueprint_id)).await;
        for intent in [
            "tag one",
            "set prompt of agent agent-0 to Be brief.",
            "nobody understands this",
        ] {
            let issue = rig.client.submit(blueprint_id, intent).await;
            watched.push(rig.client.watch(&issue.issue_id).await);
            ids.push(issue.issue_id);
        }
    }
    let versions = rig.client.history("a").await;
    let mut moved = Vec::new();
    for (channel, commit) in [("production", 0), ("production", 2), ("old", 1)] {
        let version = &versions[commit].version;
        moved.push(rig.client.set_channel("a", channel, version).await);
    }
    let delete = v1::DeleteChannelRequest {
        blueprint_id: "a".to_owned(),
        channel: "old".to_owned(),
        ..Default::default()
    };
    let deleted = rig.client.blueprints.clone().delete_channel(delete).await;
    deleted.expect("DeleteChannel");
    let mut followers = Vec::new();
    for (pattern, channel) in [("*", ""), ("?", "production"), ("b", "production")] {
        let request = v1::WatchBlueprintsRequest {
            patterns: vec![pattern.to_owned()],
            channel: channel.to_owned(),
            ..Default::default()
        };
        let mut watcher = BlueprintWatcher::start(&rig.client, request.clone()).await;
        watcher.until_synced().await;
        followers.push(Follower {
            patterns: request.patterns,
            channel: request.channel,
            have: watcher.have,
        });
    }
    let mut snapshot = assert_sound(&rig, &ids, Attempts::One).await;
    snapshot.watched = watched;
    snapshot.followers = followers;
    snapshot.moved = moved;
    (rig, snapshot)
}

/// The rules that a snapshot violates.
fn broken_rules(snapshot: &Snapshot) -> Vec<Rule> {
    let found = violations(snapshot, Attempts::One);
    let mut rules: Vec<Rule> = found.into_iter().map(|v| v.rule).collect();
    rules.dedup();
    rules
}

fn entry<'a>(s: &'a mut Snapshot, id: &str) -> &'a mut v1::LogEntry {
    let found = s.entries.iter_mut().find(|e| e.issue_id == id);
    found.expect("an entry")
}

fn moves_of_a(s: &mut Snapshot) -> &mut Vec<v1::ChannelMove> {
    s.moves.get_mut("a").expect("moves")
}

const OTHER_PATCH: &str = r#"[{"op":"add","path":"/metadata/tags/-","value":"other"}]"#;

#[tokio::test]
async fn each_damage_is_caught_by_the_rule_that_names_it() {
    let (_rig, healthy) = worked_on().await;
    assert_eq!(broken_rules(&healthy), []);
    let (first, denied) = (
        healthy.acknowledged[0].as_str(),
        healthy.acknowledged[2].as_str(),
    );
    type Damage<'a> = Box<dyn Fn(&mut Snapshot) + 'a>;
    let damages: Vec<(&str, Rule, Damage<'_>)> = vec![
        (
            "an acknowledged issue is not there",
            Rule::Decided,
            Box::new(|s| s.acknowledged.push("lost".to_owned())),
        ),
        (
            "no log entry",
            Rule::Decided,
            Box::new(|s| s.entries.retain(|e| e.issue_id != denied)),
        ),
        (
            "two log entries",
            Rule::Decided,
            Box::new(|s| {
                let twice = entry(s, denied).clone();
                s.entries.push(twice);
            }),
        ),
        (
            "a log entry that says something else",
            Rule::Decided,
            Box::new(|s| entry(s, denied).cause = "failed".to_owned()),
        ),
        (
            "a commit of nobody",
            Rule::OneCommit,
            Box::new(|s| {
                let history = s.histories.get_mut("a").expect("a history");
                history.last_mut().expect("a commit").issue_id.clear();
            }),
        ),
        (
            "another parent",
            Rule::Chain,
            Box::new(|s| {
                s.histories.get_mut("a").expect("a history")[1].parents = vec!["0".repeat(64)];
            }),
        ),
        (
            "another document",
            Rule::Chain,
            Box::new(|s| {
                let key = ("a".to_owned(), s.histories["a"][1].version.clone());
                let document = s.documents.get_mut(&key).expect("a document");
                document.yaml.push('\n');
            }),
        ),
        (
            "another head",
            Rule::Chain,
            Box::new(|s| {
                s.heads
                    .get_mut("a")
                    .expect("a head")
                    .replace_range(..1, "x")
            }),
        ),
        (
            "decided in another order",
            Rule::Order,
            Box::new(|s| s.entries.swap(0, 1)),
        ),
        (
            "an attempt too many",
            Rule::Order,
            Box::new(|s| {
                s.issues.get_mut(first).expect("an issue").attempt = 2;
                entry(s, first).attempt = 2;
                s.watched.clear();
            }),
        ),
        (
            "something left",
            Rule::Empty,
            Box::new(|s| s.left.extend([("processing:w".to_owned(), 1)])),
        ),
        (
            "a revision seen twice",
            Rule::Watched,
            Box::new(|s| {
                let twice = s.watched[0][0].clone();
                s.watched[0].insert(0, twice);
            }),
        ),
        (
            "a watcher that missed the end",
            Rule::Watched,
            Box::new(|s| {
                s.watched[0].pop();
            }),
        ),
        (
            "a patch that was not applied",
            Rule::Fold,
            Box::new(|s| entry(s, first).patch_json = OTHER_PATCH.to_owned()),
        ),
        (
            "a move that starts elsewhere",
            Rule::Moves,
            Box::new(|s| moves_of_a(s)[1].from_version = "0".repeat(64)),
        ),
        (
            "an acknowledged move is not there",
            Rule::Moves,
            Box::new(|s| {
                let again = s.moved[0].clone();
                s.moved.push(v1::Channel {
                    revision: 9,
                    ..again
                });
            }),
        ),
        (
            "a channel that is not its last move",
            Rule::Moves,
            Box::new(|s| {
                let extra = v1::Channel {
                    name: "other".to_owned(),
                    ..s.channels["a"][0].clone()
                };
                s.channels.get_mut("a").expect("channels").push(extra);
            }),
        ),
        (
            "a channel of a version that is not in the history",
            Rule::Moves,
            Box::new(|s| {
                let seq = 7;
                s.channels.get_mut("a").expect("channels")[0].seq = seq;
                moves_of_a(s)[1].seq = seq;
            }),
        ),
        (
            "a watcher that missed the last version",
            Rule::Followed,
            Box::new(|s| {
                let older = s.histories["a"][0].version.clone();
                s.followers[0].have.insert("a".to_owned(), older);
            }),
        ),
        (
            "a watcher that missed the last move of a channel",
            Rule::Followed,
            Box::new(|s| {
                let older = s.moves["a"][0].to_version.clone();
                s.followers[1].have.insert("a".to_owned(), older);
            }),
        ),
        (
            "a watcher that missed a Blueprint",
            Rule::Followed,
            Box::new(|s| drop(s.followers[0].have.remove("b"))),
        ),
        (
            "a watcher that missed a removal",
            Rule::Followed,
            Box::new(|s| {
                s.archived.insert("b".to_owned());
            }),
        ),
    ];
    for (what, rule, damage) in damages {
        let mut damaged = healthy.clone();
        damage(&mut damaged);
        assert_eq!(broken_rules(&damaged), [rule], "{what}");
    }
}

/// The same with damaged data in Redis, which the checker reads through the programs.
#[tokio::test]
async fn each_damage_of_redis_is_caught_by_the_rule_that_names_it() {
    let (rig, healthy) = worked_on().await;
    let keys = Keys::of_shard(0);
    let a = BlueprintId::parse("a").expect("an id");
    let id = |n: usize| IssueId::parse(&healthy.acknowledged[n]).expect("an id");
    let (first, second) = (id(0), id(1));
    let mut redis = rig.redis.connection().await;
    let mut run = async |words: &[&str]| -> redis::Value {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command
            .query_async(&mut redis)
            .await
            .expect("Redis answers")
    };
    let text = |value: redis::Value| -> String { redis::from_redis_value(value).expect("a text") };
    let (log, commits, decided) = (keys.log(), keys.commits(&a), keys.decided_of(&a));
    let issue = keys.issue(&first);
    let stray = keys.processing("ghost");
    let log_entry = text(run(&["HGET", &log, first.as_str()]).await);
    let commit = text(run(&["HGET", &commits, "2"]).await);
    let edit = |json: &str, field: &str, value: serde_json::Value| -> String {
        let mut object: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert!(object.get(field).is_some(), "{field} is in {json}");
        object[field] = value;
        object.to_string()
    };
    let failed = edit(&log_entry, "attempt", 7.into());
    let other_patch = edit(&log_entry, "patch", OTHER_PATCH.into());
    let of_nobody = edit(&commit, "issue_id", "".into());
    let other_parent = edit(&commit, "parents", serde_json::json!(["0".repeat(64)]));
    let (channels, moves) = (keys.channels(&a), keys.channel_moves(&a));
    let channel = text(run(&["HGET", &channels, "production"]).await);
    let last_move = text(run(&["LINDEX", &moves, "1"]).await);
    let other_start = edit(&last_move, "from", "0".repeat(64).into());
    // As the script would write them, without its message.
    let back = |json: &str| edit(&edit(json, "revision", 3.into()), "seq", 1.into());
    let versions = healthy.histories["a"].iter();
    let versions: Vec<&str> = versions.map(|commit| commit.version.as_str()).collect();
    let channel_back = edit(&back(&channel), "version", versions[0].into());
    let move_back = edit(&back(&last_move), "from", versions[2].into());
    let move_back = edit(&move_back, "to", versions[0].into());
    let all = keys.decided();
    /// Commands, as lists of words.
    type Commands<'a> = Vec<Vec<&'a str>>;
    let cases: Vec<(Rule, Commands<'_>, Commands<'_>)> = vec![
        (
            Rule::Decided,
            vec![vec!["HSET", &log, first.as_str(), &failed]],
            vec![vec!["HSET", &log, first.as_str(), &log_entry]],
        ),
        (
            Rule::OneCommit,
            vec![vec!["HSET", &commits, "2", &of_nobody]],
            vec![vec!["HSET", &commits, "2", &commit]],
        ),
        (
            Rule::Chain,
            vec![vec!["HSET", &commits, "2", &other_parent]],
            vec![vec!["HSET", &commits, "2", &commit]],
        ),
        (
            Rule::Order,
            [&all, &decided]
                .iter()
                .flat_map(|list| {
                    [
                        vec!["LSET", list, "0", second.as_str()],
                        vec!["LSET", list, "1", first.as_str()],
                    ]
                })
                .collect(),
            [&all, &decided]
                .iter()
                .flat_map(|list| {
                    [
                        vec!["LSET", list, "0", first.as_str()],
                        vec!["LSET", list, "1", second.as_str()],
                    ]
                })
                .collect(),
        ),
        (
            Rule::Empty,
            vec![vec!["RPUSH", &stray, "a/nobody"]],
            vec![vec!["DEL", &stray]],
        ),
        (
            Rule::Watched,
            vec![vec!["HINCRBY", &issue, "revision", "1"]],
            vec![vec!["HINCRBY", &issue, "revision", "-1"]],
        ),
        (
            Rule::Fold,
            vec![vec!["HSET", &log, first.as_str(), &other_patch]],
            vec![vec!["HSET", &log, first.as_str(), &log_entry]],
        ),
        (
            Rule::Moves,
            vec![vec!["LSET", &moves, "1", &other_start]],
            vec![vec!["LSET", &moves, "1", &last_move]],
        ),
        (
            Rule::Followed,
            vec![
                vec!["HSET", &channels, "production", &channel_back],
                vec!["RPUSH", &moves, &move_back],
            ],
            vec![
                vec!["HSET", &channels, "production", &channel],
                vec!["RPOP", &moves],
            ],
        ),
    ];
    for (rule, damage, repair) in cases {
        for words in &damage {
            run(words).await;
        }
        let mut damaged = Snapshot::take(&rig, &healthy.acknowledged).await;
        damaged.watched.clone_from(&healthy.watched);
        damaged.followers.clone_from(&healthy.followers);
        damaged.moved.clone_from(&healthy.moved);
        assert_eq!(broken_rules(&damaged), [rule], "{damage:?}");
        for words in &repair {
            run(words).await;
        }
    }
    let mut repaired = Snapshot::take(&rig, &healthy.acknowledged).await;
    repaired.watched.clone_from(&healthy.watched);
    repaired.followers.clone_from(&healthy.followers);
    repaired.moved.clone_from(&healthy.moved);
    assert_eq!(broken_rules(&repaired), []);
}
