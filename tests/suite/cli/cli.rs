//! `draftsman` as a person at a terminal, or a script, uses it.

use serde_json::Value;
use tests::client::Client;
use tests::eventually::{eventually, eventually_now};
use tests::factory;
use tests::programs::{Finished, Process, Program, Signal, run};
use tests::rig::Rig;

/// Runs a verb against the rig's intake.
async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

/// The single JSON value that a verb printed.
fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[tokio::test]
async fn the_exit_status_tells_how_an_issue_ended() {
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("exits")).await;
    let applied = draftsman(&rig, &["submit", "exits", "tag one"]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let args = ["submit", "exits", "nobody understands this", "--unchecked"];
    let denied = draftsman(&rig, &args).await;
    assert_eq!(denied.code, Some(2), "{denied:?}");
    assert!(
        denied.stdout.contains("noop"),
        "the author reads why: {denied:?}"
    );

    // A committer that violates its contract, so that the issue fails.
    let scripts = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(scripts.path().join("committer.lua"), "return {}").expect("a script file");
    rig.workers.clear();
    rig.add_worker(&[(
        "DRAFTSMAN_LUA_DIR",
        scripts.path().to_str().expect("a plain path"),
    )]);
    let failed = draftsman(&rig, &["submit", "exits", "tag two"]).await;
    assert_eq!(failed.code, Some(3), "{failed:?}");
    rig.workers.clear();

    let detached = draftsman(
        &rig,
        &[
            "submit",
            "exits",
            "tag three",
            "--detach",
            "--issue-id",
            "waits",
        ],
    )
    .await;
    assert_eq!(detached.code, Some(0), "{detached:?}");
    assert!(detached.stdout.contains("waits"), "{detached:?}");
    let cancelled = draftsman(&rig, &["cancel", "waits"]).await;
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    let watched = draftsman(&rig, &["watch", "waits"]).await;
    assert_eq!(watched.code, Some(4), "{watched:?}");

    let unknown = draftsman(&rig, &["submit", "nobody", "tag x"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("nobody"), "{unknown:?}");
    let nowhere = run(
        Program::Draftsman,
        &["stats", "--addr", "http://127.0.0.1:1"],
        &[],
    )
    .await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
}

#[tokio::test]
async fn every_verb_speaks_json() {
    let rig = Rig::start().await;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), factory::small("spoken")).expect("a document");
    let path = file.path().to_str().expect("a plain path");
    let put = draftsman(&rig, &["put", path, "--output", "json"]).await;
    assert_eq!(json(&put)["created"], true, "{put:?}");
    let submit = draftsman(
        &rig,
        &[
            "submit",
            "spoken",
            "tag one",
            "--output",
            "json",
            "--issue-id",
            "one",
        ],
    )
    .await;
    assert_eq!(submit.code, Some(0), "{submit:?}");
    for args in [
        &["get", "spoken"][..],
        &["get"],
        &["issues"],
        &["issues", "one"],
        &["log"],
        &["log", "one"],
        &["history", "spoken"],
        &["stats"],
        &["setting", "get", "default"],
        &["setting", "list"],
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--output", "json"]).collect();
        let answer = draftsman(&rig, &args).await;
        assert_eq!(answer.code, Some(0), "{args:?}: {answer:?}");
        assert!(!json(&answer).is_null(), "{args:?}");
        let text = draftsman(&rig, &args[..args.len() - 2]).await;
        assert_eq!(text.code, Some(0), "{args:?}: {text:?}");
        assert!(!text.stdout.trim().is_empty(), "{args:?}");
    }
    // The time of the decision, to the second, as in the entry.
    let entry = json(&draftsman(&rig, &["log", "one", "--output", "json"]).await);
    let at = entry["entry"]["decided_at"].as_str().expect("a time");
    let decided = prost_types::Timestamp {
        nanos: 0,
        ..at.parse().expect("RFC 3339")
    };
    for args in [&["log"][..], &["log", "one"]] {
        let text = draftsman(&rig, args).await.stdout;
        assert!(text.contains(&decided.to_string()), "{decided} in {text}");
    }
    let watch = draftsman(&rig, &["watch", "one", "--output", "json"]).await;
    let last: Value =
        serde_json::from_str(watch.stdout.lines().last().expect("a line")).expect("JSON lines");
    assert_eq!(last["issue"]["state"], "applied", "{watch:?}");
}

#[tokio::test]
async fn a_setting_is_written_shown_and_deleted() {
    let rig = Rig::without_worker().await;
    let shown = draftsman(&rig, &["setting", "get", "default"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().to_str().expect("a plain path");
    let mine = shown.stdout.replace("id: default\n", "id: mine\n");
    std::fs::write(file.path(), &mine).expect("a setting");
    let put = [
        "setting",
        "put",
        path,
        "--expected-revision",
        "0",
        "--output",
        "json",
    ];
    let written = draftsman(&rig, &put).await;
    assert_eq!(json(&written)["setting"]["id"], "mine", "{written:?}");
    let again = draftsman(&rig, &put).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("REVISION_MOVED"), "{again:?}");
    let listed = draftsman(&rig, &["setting", "list"]).await;
    assert!(
        listed.stdout.contains("mine") && listed.stdout.contains("default"),
        "{listed:?}"
    );

    std::fs::write(file.path(), mine.replace("noop", "nop")).expect("a setting");
    let refused = draftsman(&rig, &["setting", "put", path]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("AXIS_UNKNOWN"), "{refused:?}");
    let deleted = draftsman(&rig, &["setting", "delete", "mine"]).await;
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    let gone = draftsman(&rig, &["setting", "delete", "mine"]).await;
    assert!(gone.stderr.contains("SETTING_NOT_FOUND"), "{gone:?}");
}

/// Starts `draftsman up` in `dir` on a free port and waits until it serves.
async fn up(dir: &std::path::Path) -> (Process, Client) {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port")
        .port();
    let listen = format!("127.0.0.1:{port}");
    let data = dir.join(".draftsman");
    let args = [
        "up",
        "--listen",
        &listen,
        "--workers",
        "1",
        "--data-dir",
        data.to_str().expect("a plain path"),
    ];
    let mut up = Process::start(Program::Draftsman, &args, &[]);
    eventually("draftsman up serves", async || {
        if let Some(status) = up.try_wait() {
            panic!("draftsman up ended: {status}");
        }
        match tokio::net::TcpStream::connect(&listen).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    (up, Client::connect(&listen).await)
}

#[tokio::test]
async fn up_runs_everything_and_the_data_is_there_next_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut first, client) = up(dir.path()).await;
    client.put(factory::small("kept")).await;
    let issue = client.run("kept", "tag one").await;
    first.signal(Signal::Interrupt);
    assert_eq!(first.wait().await.code(), Some(0), "{}", first.stderr());

    let (mut second, client) = up(dir.path()).await;
    assert_eq!(client.issue(&issue.issue_id).await, issue);
    assert_eq!(
        client.head("kept").await.commit.expect("a commit").version,
        issue.new_version
    );
    let next = client.run("kept", "tag two").await;
    assert_eq!(next.state(), proto::v1::IssueState::Applied, "{next:?}");
    assert_eq!(
        second.terminate().await.code(),
        Some(0),
        "{}",
        second.stderr()
    );
}

#[tokio::test]
async fn up_shows_what_runs_and_names_the_option_for_a_taken_address() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let data = data.to_str().expect("a plain path");
    let args = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--workers",
        "1",
        "--data-dir",
        data,
    ];
    let mut up = Process::start(Program::Draftsman, &args, &[]);
    let banner = eventually_now("the banner is printed", || {
        let said = up.stdout();
        said.contains("Ctrl-C").then_some(said.clone()).ok_or(said)
    })
    .await;
    let address = banner.split("draftsman is up: http://").nth(1);
    let address = address
        .and_then(|rest| rest.lines().next())
        .expect("an address");
    for words in [
        data,
        "workers",
        "draftsman submit",
        "export DRAFTSMAN_ADDR=http://",
    ] {
        assert!(banner.contains(words), "{words}: {banner}");
    }
    let other = dir.path().join("other");
    let other = other.to_str().expect("a plain path");
    let args = ["up", "--listen", address, "--data-dir", other];
    let taken = run(Program::Draftsman, &args, &[]).await;
    assert_eq!(taken.code, Some(1), "{taken:?}");
    let words = format!("{address} is used by another process");
    assert!(taken.stderr.contains(&words), "{taken:?}");
    assert!(taken.stderr.contains("--listen"), "{taken:?}");
    assert_eq!(up.terminate().await.code(), Some(0), "{}", up.stderr());
}

#[tokio::test]
async fn a_list_of_settings_says_who_writes_the_patches() {
    let rig = Rig::without_worker().await;
    let shown = async |words: &str| {
        let listed = draftsman(&rig, &["setting", "list"]).await;
        assert!(listed.stdout.contains(words), "{words}: {listed:?}");
    };
    shown("of the orbit").await;
    let model = draftsman(&rig, &["setting", "use-model", "ollama/llama3.1"]).await;
    assert_eq!(model.code, Some(0), "{model:?}");
    shown("ollama/llama3.1").await;
    let none = draftsman(&rig, &["setting", "use-model", "none"]).await;
    assert_eq!(none.code, Some(0), "{none:?}");
    assert!(none.stdout.contains("the spawner of the orbit"), "{none:?}");
    shown("of the orbit").await;
}
