//! `backup` and `restore` of a whole store.

use std::os::unix::fs::PermissionsExt;

use proto::v1;
use serde_json::Value;
use tests::factory;
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str()), ("USER", "restorer")];
    run(Program::Draftsman, args, &env).await
}

async fn done(rig: &Rig, args: &[&str]) -> Finished {
    let finished = draftsman(rig, args).await;
    assert_eq!(finished.code, Some(0), "{args:?}: {finished:?}");
    finished
}

/// Fills a store: histories with labels, issues and channels, an archived Blueprint, a changed
/// orbit, settings, and a paused Blueprint.
async fn fill(rig: &Rig) {
    rig.client.put(factory::small("team")).await;
    for n in 0..20 {
        rig.client.run("team", format!("tag t{n}")).await;
    }
    rig.client.run("team", "nobody understands this").await;
    let history = rig.client.history("team").await;
    rig.client
        .set_channel("team", "production", &history[3].version)
        .await;
    rig.client
        .set_channel("team", "production", &history[0].version)
        .await;
    rig.client.put(factory::small("old")).await;
    let request = v1::ArchiveBlueprintRequest {
        blueprint_id: "old".to_owned(),
    };
    rig.client
        .blueprints
        .clone()
        .archive_blueprint(request)
        .await
        .expect("ArchiveBlueprint");
    let orbit = rig.client.head("enhance-default").await.document_yaml;
    rig.client.put(format!("{orbit}x-note: changed\n")).await;
    rig.client
        .put_setting(factory::setting("mine", |_| {}))
        .await
        .expect("PutSetting");
    rig.client
        .edit_setting(|setting| setting.ttl_secs = 77)
        .await;
    done(rig, &["pause", "team"]).await;
}

/// What a restore must bring back, as the verbs print it.
async fn content(rig: &Rig) -> Vec<String> {
    let mut content = Vec::new();
    for id in ["team", "old", "enhance-default", "enhance-repair"] {
        let exported = done(rig, &["export", id]).await.stdout;
        let mut lines = Vec::new();
        for line in exported.lines() {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            // The caller of an import is the author of a bundled commit.
            let author = &mut line["entry"]["commit"]["author"];
            if *author == "restorer" {
                *author = "".into();
            }
            if let Some(line) = line.as_object_mut() {
                line.remove("sha256");
            }
            // Each store has its own bundled commit, unless it was restored.
            if id == "enhance-repair" {
                line["entry"]["commit"]["committed_at"] = Value::Null;
            }
            lines.push(line.to_string());
        }
        content.push(lines.join("\n"));
    }
    let settings = done(rig, &["setting", "list", "--output", "json"])
        .await
        .stdout;
    let mut settings: Value = serde_json::from_str(&settings).expect("JSON");
    for setting in settings["settings"].as_array_mut().expect("a list") {
        for field in ["revision", "updated_by", "updated_at"] {
            setting[field] = Value::Null;
        }
    }
    content.push(settings.to_string());
    let all = done(rig, &["get", "--archived", "--output", "json"])
        .await
        .stdout;
    let all: Value = serde_json::from_str(&all).expect("JSON");
    for blueprint in all["blueprints"].as_array().expect("a list") {
        let (id, archived) = (&blueprint["blueprint_id"], &blueprint["archived"]);
        content.push(format!("{id} {} {archived}", blueprint["head"]));
    }
    content.push(format!(
        "{:?}",
        rig.client.stats().await.paused_blueprint_ids
    ));
    content
}

#[tokio::test]
async fn a_store_is_restored_into_an_empty_one() {
    let from = Rig::start().await;
    fill(&from).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("store.backup");
    let file = path.to_str().expect("a plain path");
    let written = done(&from, &["backup", file]).await;
    assert!(
        written.stdout.contains("4 Blueprints with 25 commits"),
        "{written:?}"
    );
    assert!(
        written.stdout.contains("21 log entries and 21 issues"),
        "{written:?}"
    );
    let mode = std::fs::metadata(&path)
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("the folder").count(),
        1
    );
    let again = draftsman(&from, &["backup", file]).await;
    assert_eq!(
        again.code,
        Some(1),
        "a backup overwrites no file: {again:?}"
    );
    let checked = run(Program::Draftsman, &["restore", file, "--check"], &[]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        checked.stdout.contains("complete and undamaged"),
        "{checked:?}"
    );

    let to = Rig::start().await;
    to.until_registered(1).await;
    let restored = done(&to, &["restore", file]).await;
    assert!(
        restored
            .stdout
            .contains("restored 3 Blueprints with 24 commits"),
        "{restored:?}"
    );
    assert!(restored.stdout.contains("42 records"), "{restored:?}");
    assert_eq!(content(&to).await, content(&from).await);

    // The same command again finds everything, and the new store works.
    let again = done(&to, &["restore", file]).await;
    assert!(again.stdout.contains("restored 0 Blueprints"), "{again:?}");
    assert!(
        again.stdout.contains("4 Blueprints already present"),
        "{again:?}"
    );
    done(&to, &["resume", "team"]).await;
    let issue = to.client.run("team", "tag restored").await;
    assert_eq!(issue.state(), v1::IssueState::Applied, "{issue:?}");
    // Now it differs from the backup.
    let differs = draftsman(&to, &["restore", file]).await;
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(differs.stderr.contains("Blueprint team"), "{differs:?}");
}

#[tokio::test]
async fn a_store_with_other_things_is_refused_unless_asked() {
    let from = Rig::without_worker().await;
    from.client.put(factory::small("kept")).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("store.backup");
    let file = path.to_str().expect("a plain path");
    done(&from, &["backup", file]).await;

    let to = Rig::without_worker().await;
    to.client.put(factory::small("mine")).await;
    let refused = draftsman(&to, &["restore", file]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("Blueprint mine"), "{refused:?}");
    assert!(!to.client.blueprint_ids().await.contains(&"kept".to_owned()));
    done(&to, &["restore", file, "--merge"]).await;
    let ids = to.client.blueprint_ids().await;
    assert!(
        ids.contains(&"kept".to_owned()) && ids.contains(&"mine".to_owned()),
        "{ids:?}"
    );

    // The same Blueprint with other content is never overwritten.
    let other = Rig::without_worker().await;
    other
        .client
        .put(factory::small("kept").replace("agent number 0", "agent number 7"))
        .await;
    let refused = draftsman(&other, &["restore", file, "--merge"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("Blueprint kept"), "{refused:?}");
}

#[tokio::test]
async fn a_damaged_backup_is_refused_by_its_line_and_nothing_is_written() {
    let from = Rig::start().await;
    from.client.put(factory::small("kept")).await;
    from.client.run("kept", "tag one").await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("store.backup");
    let file = path.to_str().expect("a plain path");
    done(&from, &["backup", file]).await;
    let text = std::fs::read_to_string(&path).expect("the file");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let to = Rig::without_worker().await;
    let before = to.client.blueprint_ids().await;
    let without = |n: usize| [&lines[..n], &lines[n + 1..]].concat().concat();
    for (damaged, word) in [
        (
            text.replace("agent number 0", "agent Number 0"),
            "is damaged",
        ),
        (lines[..lines.len() - 1].concat(), "was cut"),
        (without(lines.len() - 2), "lines are missing"),
        (without(2), "is not of the history"),
        (String::new(), "is empty"),
        (lines[1..].concat(), "line 1"),
    ] {
        let damaged_path = dir.path().join("damaged");
        std::fs::write(&damaged_path, damaged).expect("a file");
        let name = damaged_path.to_str().expect("a plain path");
        for args in [&["restore", name][..], &["restore", name, "--check"]] {
            let refused = draftsman(&to, args).await;
            assert_eq!(refused.code, Some(1), "{word}: {refused:?}");
            assert!(refused.stderr.contains(word), "{word}: {refused:?}");
        }
    }
    assert_eq!(to.client.blueprint_ids().await, before);
}

#[tokio::test]
async fn a_restore_that_was_interrupted_continues() {
    let from = Rig::without_worker().await;
    for n in 0..5 {
        from.client.put(factory::small(&format!("b{n}"))).await;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("store.backup");
    let file = path.to_str().expect("a plain path");
    done(&from, &["backup", file]).await;
    // What an interrupted restore leaves: whole Blueprints, in the order of the file.
    let to = Rig::without_worker().await;
    for id in ["b0", "b1"] {
        let name = dir.path().join(id);
        let name = name.to_str().expect("a plain path");
        done(&from, &["export", id, "-o", name]).await;
        done(&to, &["import", name]).await;
    }
    let continued = done(&to, &["restore", file]).await;
    assert!(
        continued
            .stdout
            .contains("restored 3 Blueprints with 3 commits"),
        "{continued:?}"
    );
    assert_eq!(
        to.client.blueprint_ids().await,
        from.client.blueprint_ids().await
    );
}
