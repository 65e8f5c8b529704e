//! `import -`, `import --as` and `fork`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::eventually::eventually_blocking;
use tests::factory;
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

/// A history of a direct write, an issue and a channel.
async fn with_history(rig: &Rig) {
    let document = factory::small("origin");
    rig.client.put(document).await;
    rig.client.run("origin", "tag one").await;
    rig.client.run("origin", "tag two").await;
    let version = rig.client.history("origin").await[0].version.clone();
    rig.client
        .set_channel("origin", "production", &version)
        .await;
}

async fn channels(rig: &Rig, id: &str) -> Value {
    let listed = draftsman(rig, &["channels", id, "--output", "json"]).await;
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    listed["channels"].clone()
}

/// Compares the histories of two Blueprints, whose documents differ in their ids alone.
async fn assert_same_under_another_id(rig: &Rig, id: &str) {
    let (from, to) = (
        rig.client.history("origin").await,
        rig.client.history(id).await,
    );
    assert_eq!(from.len(), to.len());
    for (from, to) in from.iter().zip(&to) {
        assert_eq!((from.seq, &from.author), (to.seq, &to.author));
        assert_eq!(from.committed_at, to.committed_at);
        assert!(to.rationale.starts_with(&from.rationale), "{to:?}");
        // An issue changed one Blueprint.
        assert!(to.issue_id.is_empty() && to.epoch.is_none(), "{to:?}");
        assert!(to.rationale.contains(&from.issue_id), "{to:?}");
        let document = async |id: &str, version: &str| {
            let got = draftsman(rig, &["get", id, "--version", version]).await;
            assert_eq!(got.code, Some(0), "{got:?}");
            got.stdout
        };
        let before = document("origin", &from.version).await;
        let after = document(id, &to.version).await;
        assert_eq!(
            before.replace("id: origin\n", &format!("id: {id}\n")),
            after
        );
    }
}

#[tokio::test]
async fn a_fork_has_the_history_and_goes_its_own_way() {
    let rig = Rig::start().await;
    with_history(&rig).await;
    let forked = draftsman(&rig, &["fork", "origin", "copy"]).await;
    assert_eq!(forked.code, Some(0), "{forked:?}");
    assert!(forked.stdout.contains("3 commits of origin"), "{forked:?}");
    assert_same_under_another_id(&rig, "copy").await;
    assert_eq!(
        channels(&rig, "copy").await,
        serde_json::json!([]),
        "channels are not copied"
    );
    let changed = rig.client.run("copy", "tag three").await;
    assert_eq!(
        changed.state(),
        proto::v1::IssueState::Applied,
        "{changed:?}"
    );
    assert_eq!(rig.client.history("origin").await.len(), 3);

    let head = ["fork", "origin", "fresh", "--head-only", "--output", "json"];
    let head = draftsman(&rig, &head).await;
    let head: Value = serde_json::from_str(&head.stdout).expect("JSON");
    assert_eq!(head["commit"]["seq"], 1, "{head}");
    let rationale = head["commit"]["rationale"].as_str().expect("a text");
    assert!(rationale.contains("fork of origin"), "{rationale}");

    for (args, word) in [
        (&["fork", "origin", "copy"][..], "BLUEPRINT_EXISTS"),
        (&["fork", "origin", "origin"], "BLUEPRINT_EXISTS"),
        (&["fork", "origin", "fresh", "--head-only"], "exists"),
        (&["fork", "origin", "copy", "--head-only"], "exists"),
        (&["fork", "nobody", "new"], "nobody"),
        (&["fork", "origin", "not an id"], "not an id"),
    ] {
        let refused = draftsman(&rig, args).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(word), "{refused:?}");
    }
}

#[tokio::test]
async fn a_history_is_imported_from_standard_input_and_under_another_id() {
    let rig = Rig::start().await;
    with_history(&rig).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("origin.jsonl");
    let file = path.to_str().expect("a plain path");
    let exported = draftsman(&rig, &["export", "origin", "-o", file]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");

    let imported = draftsman(&rig, &["import", file, "--as", "copy"]).await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_same_under_another_id(&rig, "copy").await;
    let moved = channels(&rig, "copy").await;
    let head = rig.client.history("copy").await[0].version.clone();
    assert_eq!(
        moved[0]["version"],
        head.as_str(),
        "channels are a part of an export: {moved}"
    );

    let piped = async |path: &std::path::Path, args: &[&str]| {
        let mut command = Command::new(Program::Draftsman.path());
        command
            .arg("import")
            .arg("-")
            .args(args)
            .env("DRAFTSMAN_ADDR", &rig.address);
        command.stdin(Stdio::from(std::fs::File::open(path).expect("the file")));
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("a task");
        output.expect("draftsman runs")
    };
    let output = piped(&path, &["--as", "piped"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_same_under_another_id(&rig, "piped").await;

    // A refusal ends the verb while its pipe stays open.
    let mut import = Command::new(Program::Draftsman.path());
    import
        .args(["import", "-", "--as", "copy"])
        .env("DRAFTSMAN_ADDR", &rig.address)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut import = import.spawn().expect("draftsman runs");
    let mut pipe = import.stdin.take().expect("a pipe");
    let text = std::fs::read_to_string(&path).expect("the file");
    let first: String = text.split_inclusive('\n').take(2).collect();
    pipe.write_all(first.as_bytes()).expect("the pipe is open");
    let waiting = tokio::task::spawn_blocking(move || {
        eventually_blocking("the import ends", || {
            let status = import.try_wait().expect("a child of this process");
            status.ok_or_else(|| "it runs".to_owned())
        })
    });
    assert_eq!(waiting.await.expect("a task").code(), Some(1));
    drop(pipe);

    // Damage is found in spite of the new hashes, and nothing is imported.
    let damaged = dir.path().join("damaged.jsonl");
    std::fs::write(&damaged, text.replace("agent number 0", "agent Number 0")).expect("a file");
    let output = piped(&damaged, &["--as", "broken"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("standard input, line 2"), "{stderr}");
    let broken = draftsman(&rig, &["get", "broken"]).await;
    assert_eq!(broken.code, Some(1), "{broken:?}");
}

#[tokio::test]
async fn the_exit_code_of_diff_says_whether_versions_differ() {
    let rig = Rig::start().await;
    with_history(&rig).await;
    for (args, code) in [
        (&["diff", "origin", "--exit-code"][..], 1),
        (
            &[
                "diff",
                "origin",
                "2",
                "3",
                "--exit-code",
                "--output",
                "json",
            ],
            1,
        ),
        (&["diff", "origin", "3", "3", "--exit-code"], 0),
        (&["diff", "origin"], 0),
        (&["diff", "origin", "9", "--exit-code"], 2),
        (&["diff", "nobody", "--exit-code"], 2),
        (
            &[
                "diff",
                "origin",
                "--exit-code",
                "--addr",
                "http://127.0.0.1:1",
            ],
            2,
        ),
        (&["diff", "nobody"], 1),
        (&["diff", "--exit-code"], 64),
    ] {
        let finished = draftsman(&rig, args).await;
        assert_eq!(finished.code, Some(code), "{args:?}: {finished:?}");
    }
}
