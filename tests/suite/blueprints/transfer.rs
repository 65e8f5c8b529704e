//! Export of a complete history from one store and import into another.

use std::path::Path;

use proto::v1::{self, IssueState};
use shared::domain::actor::Actor;
use shared::domain::channel::ChannelMove;
use shared::domain::history::{Chain, HistoryEntry};
use shared::ids::ChannelName;
use shared::store::{ImportOutcome, StageOutcome, Store};
use tests::factory;
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;
use tests::store_audit::{Content, Dump, dump};
use tests::store_fixture::{Fixture, blueprint_id, marked};
use tests::transfers::{export, import};
use tonic::Code;
use tonic_types::StatusExt;

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// All stored data of a Blueprint itself.
async fn stored(rig: &Rig, id: &str) -> Dump {
    let store = Store::open(&rig.redis.url(), 1).expect("a URL");
    let store = store.home();
    let (keys, id) = (store.keys(), blueprint_id(id));
    let names = [
        keys.blueprint(&id),
        keys.documents(&id),
        keys.commits(&id),
        keys.newest(&id),
        keys.labels(&id),
        keys.channels(&id),
        keys.channel_revisions(&id),
        keys.channel_moves(&id),
    ];
    let mut dump = dump(store).await;
    dump.retain(|key, _| names.contains(key));
    if let Some(Content::Hash(fields)) = dump.get_mut(&keys.blueprint(&id)) {
        // The store's note of its own settings.
        fields.remove("orbit_as_of");
    }
    dump
}

async fn everything(rig: &Rig) -> Dump {
    let mut dump = dump(Store::open(&rig.redis.url(), 1).expect("a URL").home()).await;
    // Data that intake writes in the meantime.
    dump.retain(|key, _| !key.contains("worker"));
    dump
}

/// Creates a history of all kinds. It has direct writes, applied issues, commits with and without
/// labels, a content that was head twice, and documents that are hard to store unchanged. It has
/// channels that were created, moved and deleted.
async fn with_history(rig: &Rig) {
    let whole = format!("{}{}", factory::small("moved"), factory::UNKNOWN_KEYS_YAML);
    rig.client.put(whole.clone()).await;
    for n in 0..20 {
        let issue = rig.client.run("moved", format!("tag t{n}")).await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    }
    rig.client.put(whole).await;
    rig.client
        .put("id: moved\nflow: {}\nagents: []\n".to_owned())
        .await;
    let commits = rig.client.history("moved").await;
    for (channel, seq) in [
        ("staging", 23),
        ("production", 1),
        ("canary", 4),
        ("production", 21),
    ] {
        let version = &commits[seq - 1].version;
        rig.client.set_channel("moved", channel, version).await;
    }
    let request = v1::DeleteChannelRequest {
        blueprint_id: "moved".to_owned(),
        channel: "canary".to_owned(),
        expected_revision: None,
    };
    let deleted = rig.client.blueprints.clone().delete_channel(request).await;
    deleted.expect("DeleteChannel");
}

#[tokio::test]
async fn a_history_arrives_byte_for_byte_and_goes_on() {
    let (from, mut to) = (Rig::start().await, Rig::without_worker().await);
    with_history(&from).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("moved.jsonl");
    let written = draftsman(&from, &["export", "moved", "-o", text(&file)]).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    let again = draftsman(&from, &["export", "moved", "-o", text(&file)]).await;
    assert_eq!(again.code, Some(1), "a file is not overwritten: {again:?}");
    let streamed = draftsman(&from, &["export", "moved"]).await;
    let content = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(streamed.stdout, content);
    assert_eq!(content.lines().count(), 1 + 23 + 5);

    let read = draftsman(&to, &["import", text(&file)]).await;
    assert_eq!(read.code, Some(0), "{read:?}");
    assert_eq!(stored(&to, "moved").await, stored(&from, "moved").await);
    assert_eq!(
        to.client.history("moved").await,
        from.client.history("moved").await
    );
    let there = everything(&to).await;
    assert!(there.keys().all(|key| !key.contains("staged")), "{there:?}");
    let streamed = draftsman(&to, &["export", "moved"]).await;
    assert_eq!(streamed.stdout, content, "the way back says the same");
    let (listed, ids) = (
        to.client.blueprint_ids().await,
        ["enhance-default", "enhance-repair", "moved"],
    );
    assert_eq!(listed, ids);

    // None of it expires, and new issues continue the history.
    let redis = to.redis.connection().await;
    for key in stored(&to, "moved").await.keys() {
        let mut redis = redis.clone();
        let ttl: i64 = redis::cmd("PTTL")
            .arg(key)
            .query_async(&mut redis)
            .await
            .expect("PTTL");
        assert_eq!(ttl, -1, "{key}");
    }
    to.add_worker(&[]);
    let next = to.client.run("moved", "tag next").await;
    assert_eq!(next.state(), IssueState::Applied, "{next:?}");

    let before = everything(&to).await;
    let twice = draftsman(&to, &["import", text(&file)]).await;
    assert_eq!(twice.code, Some(1), "{twice:?}");
    assert!(twice.stderr.contains("ALREADY_EXISTS"), "{twice:?}");
    assert_eq!(everything(&to).await, before);
}

#[tokio::test]
async fn a_damaged_file_is_refused_by_its_line_and_nothing_is_written() {
    let (from, to) = (Rig::without_worker().await, Rig::without_worker().await);
    for n in 0..40 {
        from.client
            .put(
                marked("moved", &format!("mark {n}"), "")
                    .canonical_yaml()
                    .to_string(),
            )
            .await;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let good = draftsman(&from, &["export", "moved"]).await.stdout;
    let lines: Vec<&str> = good.lines().collect();
    let before = everything(&to).await;
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect();
    let with_line = |at: usize, line: &str| -> String {
        let mut all = lines.clone();
        all[at - 1] = line;
        joined(&all)
    };
    let damaged: [(&str, usize, String); 5] = [
        ("damaged", 1, good.replacen("moved", "mOved", 1)),
        (
            "damaged",
            30,
            with_line(30, &lines[29].replace("mark 28", "mark 88")),
        ),
        ("is missing", 41, joined(&lines[..40])),
        ("after the last", 42, format!("{good}{}\n", lines[40])),
        ("damaged", 41, good[..good.len() - 20].to_owned()),
    ];
    for (number, (word, line, content)) in damaged.into_iter().enumerate() {
        let file = dir.path().join(format!("{number}.jsonl"));
        std::fs::write(&file, content).expect("a file");
        let refused = draftsman(&to, &["import", text(&file)]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let place = format!("line {line}:");
        assert!(refused.stderr.contains(&place), "{place}: {refused:?}");
        assert!(refused.stderr.contains(word), "{word}: {refused:?}");
        assert_eq!(everything(&to).await, before, "{refused:?}");
    }
    // The lines are valid but out of order: intake names the invalid message.
    let file = dir.path().join("order.jsonl");
    let mut order = lines.clone();
    order.swap(19, 20);
    std::fs::write(&file, joined(&order)).expect("a file");
    let refused = draftsman(&to, &["import", text(&file)]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("in message 19"), "{refused:?}");
    assert_eq!(everything(&to).await, before, "{refused:?}");

    std::fs::write(dir.path().join("good.jsonl"), &good).expect("a file");
    let taken = draftsman(&to, &["import", text(&dir.path().join("good.jsonl"))]).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
}

#[tokio::test]
async fn what_is_no_history_is_refused_field_by_field() {
    let (from, to) = (Rig::start().await, Rig::without_worker().await);
    with_history(&from).await;
    let good = export(&from.client, "moved").await;
    let before = everything(&to).await;
    type Damage = fn(&mut Vec<v1::ImportBlueprintRequest>);
    fn commit(all: &mut [v1::ImportBlueprintRequest], at: usize) -> &mut v1::Commit {
        all[at].commit.as_mut().expect("a commit")
    }
    fn channel_move(all: &mut [v1::ImportBlueprintRequest], at: usize) -> &mut v1::ChannelMove {
        all[at].channel_move.as_mut().expect("a move")
    }
    let cases: [(&str, Damage); 30] = [
        ("last", |all| all.clear()),
        ("last", |all| all.truncate(18)),
        ("last", |all| all[3].last = true),
        ("commit", |all| all[5].commit = None),
        ("commit.blueprint_id", |all| all[0].commit = None),
        ("commit.blueprint_id", |all| {
            commit(all, 7).blueprint_id = "other".to_owned()
        }),
        ("commit.version", |all| {
            commit(all, 7).version = "7".to_owned()
        }),
        ("commit.seq", |all| commit(all, 17).seq = 17),
        ("commit.seq", |all| drop(all.remove(0))),
        ("commit.parents", |all| commit(all, 2).parents.clear()),
        ("commit.parents", |all| {
            commit(all, 2).parents = vec!["7".to_owned()]
        }),
        ("commit.patch_hash", |all| {
            commit(all, 2).patch_hash = "7".to_owned()
        }),
        ("commit.issue_id", |all| {
            commit(all, 2).issue_id = "{}".to_owned()
        }),
        ("commit.epoch", |all| {
            commit(all, 2).epoch = Some(v1::Epoch::default())
        }),
        ("commit.committed_at", |all| {
            commit(all, 2).committed_at = None
        }),
        ("commit.version_label", |all| {
            commit(all, 2).version_label = "9.0.0".to_owned()
        }),
        ("document_yaml", |all| all[20].document_yaml.push('\n')),
        ("last", |all| all.truncate(25)),
        ("commit", |all| all[23].channel_move = None),
        ("channel_move", |all| {
            all[7].channel_move = all[24].channel_move.clone()
        }),
        ("channel_move", |all| all[24].channel_move = None),
        ("channel_move", |all| {
            all[25].commit = all[22].commit.clone()
        }),
        ("channel_move.blueprint_id", |all| {
            channel_move(all, 24).blueprint_id = "other".to_owned()
        }),
        ("channel_move.channel", |all| {
            channel_move(all, 24).channel = "head".to_owned()
        }),
        ("channel_move.from_version", |all| {
            channel_move(all, 26).from_version.clear()
        }),
        ("channel_move.to_version", |all| {
            channel_move(all, 26).to_version = "7".to_owned()
        }),
        ("channel_move.seq", |all| channel_move(all, 26).seq = 2),
        ("channel_move.revision", |all| {
            channel_move(all, 26).revision = 3
        }),
        ("channel_move.actor", |all| {
            channel_move(all, 26).actor = "a\nb".to_owned()
        }),
        ("channel_move.moved_at", |all| {
            channel_move(all, 26).moved_at = None
        }),
    ];
    for (field, damage) in cases {
        let mut damaged = good.clone();
        damage(&mut damaged);
        let status = import(&to.client, damaged).await.expect_err(field);
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status}");
        let details = status.get_details_bad_request().expect("a BadRequest");
        assert_eq!(details.field_violations[0].field, field, "{status}");
        assert_eq!(everything(&to).await, before, "{field}");
    }
    let head = import(&to.client, good).await.expect("a whole history");
    assert_eq!(to.client.head("moved").await.commit, Some(head));
    let request = v1::ExportBlueprintRequest {
        blueprint_id: "nobody".to_owned(),
    };
    let mut blueprints = from.client.blueprints.clone();
    let status = blueprints.export_blueprint(request).await;
    assert_eq!(status.expect_err("not there").code(), Code::NotFound);
}

#[tokio::test]
async fn an_import_that_lost_its_race_or_stood_still_leaves_nothing() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let id = blueprint_id("moved");
    let source = Fixture::with(&["moved"]).await;
    for n in 0..3 {
        source
            .put(&marked("moved", &format!("mark {n}"), "1.0.0"))
            .await;
    }
    let history: Vec<HistoryEntry> = source.store.history(&id, 1, 4).await.expect("a history");
    let mut chain = Chain::default();
    for entry in &history {
        chain.take(entry).expect("a history");
    }
    let begin = async || {
        store
            .begin_import(&id)
            .await
            .expect("an answer")
            .expect("absent")
    };

    // The staged data has expired: further data and the end are rejected.
    let mut import = begin().await;
    assert_eq!(
        import.finish().await.expect("an answer"),
        ImportOutcome::Expired
    );
    let staged = import.stage(&history[..2]).await.expect("an answer");
    assert_eq!(staged, StageOutcome::Staged);
    let keys: Vec<String> = dump(store).await.into_keys().collect();
    assert!(
        keys.len() == 4 && keys.iter().all(|key| key.contains(":staged_")),
        "{keys:?}"
    );
    for key in &keys {
        let ttl: i64 = fixture.raw(&["PTTL", key]).await;
        assert!(ttl > 0 && ttl <= 600_000, "{key} expires in {ttl} ms");
        let _: i64 = fixture.raw(&["DEL", key]).await;
    }
    let staged = fixture.refused(import.stage(&history[2..])).await;
    assert_eq!(staged, StageOutcome::Expired);
    assert_eq!(
        fixture.refused(import.finish()).await,
        ImportOutcome::Expired
    );
    import.give_up().await.expect("an answer");

    // The Blueprint was written in the meantime.
    let mut import = begin().await;
    import.stage(&history).await.expect("an answer");
    fixture.put(&marked("moved", "mine", "")).await;
    assert_eq!(
        fixture.refused(import.finish()).await,
        ImportOutcome::Exists
    );
    import.give_up().await.expect("an answer");
    let keys = dump(store).await.into_keys();
    assert!(keys.into_iter().all(|key| !key.contains("staged")));
    assert!(store.begin_import(&id).await.expect("an answer").is_none());
}

#[tokio::test]
async fn moves_of_an_import_that_stood_still_leave_nothing() {
    let source = Fixture::with(&["moved"]).await;
    let id = blueprint_id("moved");
    let history = source.store.history(&id, 1, 1).await.expect("a history");
    let moved = ChannelMove {
        blueprint_id: id.clone(),
        channel: ChannelName::parse("production").expect("a name"),
        from: None,
        to: Some(history[0].commit.version.clone()),
        seq: 1,
        revision: 1,
        actor: Actor::anonymous(),
        reason: String::new(),
        moved_at_ms: 7,
    };
    let fixture = Fixture::start().await;
    let import = fixture.store.begin_import(&id).await.expect("an answer");
    let mut import = import.expect("absent");
    let early = fixture.refused(import.stage_moves(std::slice::from_ref(&moved)));
    assert_eq!(early.await, StageOutcome::Expired);
    import.stage(&history).await.expect("an answer");
    // The commit of a move has the version of the move.
    let wrong = ChannelMove {
        to: Some(shared::ids::Version::of("other")),
        ..moved.clone()
    };
    for (moved, seq) in [
        (wrong, 1),
        (
            ChannelMove {
                seq: 2,
                ..moved.clone()
            },
            2,
        ),
    ] {
        let refused = fixture.refused(import.stage_moves(&[moved])).await;
        assert_eq!(refused, StageOutcome::NotACommit(seq));
    }
    let moves = [moved];
    let staged = import.stage_moves(&moves).await.expect("an answer");
    assert_eq!(staged, StageOutcome::Staged);
    let keys: Vec<String> = dump(&fixture.store).await.into_keys().collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    for key in &keys {
        let ttl: i64 = fixture.raw(&["PTTL", key]).await;
        assert!(ttl > 0 && ttl <= 600_000, "{key} expires in {ttl} ms");
        let _: i64 = fixture.raw(&["DEL", key]).await;
    }
    // Redis does not have the commits any more. A deletion needs none of them.
    let deletion = ChannelMove {
        from: moves[0].to.clone(),
        to: None,
        seq: 0,
        revision: 2,
        ..moves[0].clone()
    };
    let lost = fixture.refused(import.stage_moves(&[deletion])).await;
    assert_eq!(lost, StageOutcome::Expired);
    assert_eq!(
        fixture.refused(import.finish()).await,
        ImportOutcome::Expired
    );
}

#[tokio::test]
async fn an_imported_history_never_expires_and_is_found_like_any_other() {
    let source = Fixture::with(&["moved"]).await;
    source.put(&marked("moved", "second", "1.1.0")).await;
    source.put(&marked("moved", "first", "1.0.0")).await;
    let id = blueprint_id("moved");
    let history: Vec<HistoryEntry> = source.store.history(&id, 1, 3).await.expect("a history");
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let import = store.begin_import(&id).await.expect("an answer");
    let mut import = import.expect("absent");
    for entries in history.chunks(2) {
        let staged = import.stage(entries).await.expect("an answer");
        assert_eq!(staged, StageOutcome::Staged);
    }
    let finished = import.finish().await.expect("an answer");
    assert_eq!(finished, ImportOutcome::Imported);
    let imported = dump(store).await;
    for key in imported.keys() {
        assert_eq!(
            fixture.raw::<i64>(&["PTTL", key]).await,
            -1,
            "{key} expires"
        );
    }
    // Apart from the time of writing, everything equals the source, including the list of
    // Blueprints.
    let fences = [store.keys().fence(), store.keys().counts()];
    let mut expected = dump(&source.store).await;
    expected.retain(|key, _| !fences.contains(key));
    assert_eq!(imported, expected);
}
