//! Programs as steps: their input and output, rejected programs, and that no process is left.

use proto::v1;
use proto::v1::IssueState;
use serde_json::{Value, json};
use shared::blueprint::Doc;
use shared::ids::BlueprintId;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually_now;
use tests::factory;
use tests::judgement::{assert_denied_by, assert_failed};
use tests::programs::workspace_dir;
use tests::rig::Rig;

const ALLOW: &str = "DRAFTSMAN_SUBPROCESS_ALLOW";
const PATCH: &str =
    r#"{"ops":[{"op":"add","path":"/x","value":1}],"bump":"patch","rationale":"by a program"}"#;

/// A rig whose worker may run `/bin/sh` and a program that does not exist.
async fn rig(env: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::without_worker().await;
    let mut all = vec![(ALLOW, "/bin/sh, /nowhere/at-all")];
    all.extend_from_slice(env);
    rig.add_worker(&all);
    rig.client.put(factory::small("target")).await;
    rig
}

/// The shell as a program; `script` is its argument.
fn shell(script: &str) -> Value {
    json!({"kind": "subprocess", "spec": {"program": "/bin/sh", "args": ["-c", script]}})
}

async fn use_spawner(rig: &Rig, spawner: &Value, ttl_secs: u64) {
    let spawner = Doc::try_from(spawner).expect("a document");
    rig.write_setting(|s| {
        s.spawner = Some(spawner);
        s.ttl_secs = ttl_secs;
    })
    .await;
}

/// Runs an issue whose spawner is this script.
async fn run(rig: &Rig, script: &str, ttl_secs: u64) -> v1::Issue {
    use_spawner(rig, &shell(script), ttl_secs).await;
    rig.client.run("target", "as the program likes").await
}

async fn assert_unharmed(rig: &Rig) -> v1::Issue {
    rig.client.edit_setting(|s| s.spawner = None).await;
    let tag = format!("tag after-{}", rig.client.history("target").await.len());
    let next = rig.client.run("target", tag).await;
    assert_eq!(next.state(), IssueState::Applied, "{next:?}");
    next
}

/// A unique number of seconds (some years) for `sleep`, which identifies processes by their command
/// line.
fn marker() -> String {
    let noise = uuid::Uuid::now_v7().as_u128() % 1_000_000_000_000;
    format!("98765432.{noise}")
}

/// The number of processes with `marker` in their command line.
fn n_with(marker: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let lines = entries.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(marker))
        .count()
}

async fn until_n_with(marker: &str, what: &str, fits: impl Fn(usize) -> bool) {
    eventually_now(what, || match n_with(marker) {
        n if fits(n) => Ok(()),
        n => Err(format!("{n} processes with {marker}")),
    })
    .await;
}

/// A script that starts children of every kind: in the group, out of it, orphaned, and with their
/// own session.
fn brood(marker: &str) -> String {
    format!(
        "sleep {marker} & (sleep {marker} &) ; setsid sleep {marker} & (setsid setsid sleep {marker} &) ; \
         trap '' TERM HUP INT;"
    )
}

/// The shell, its process guard, and those four.
const BROOD: usize = 6;

#[tokio::test]
async fn a_program_drafts_and_another_one_judges() {
    let rig = rig(&[]).await;
    let looks = format!(
        "input=$(cat); case $input in *'\"intent\":\"as the program likes\"'*) echo '{PATCH}';; esac"
    );
    let issue = run(&rig, &looks, 60).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(rig.client.head_json("target").await["x"], 1);
    let entry = rig.client.entry(&issue.issue_id).await;
    assert_eq!(entry.rationale, "by a program");
    let cost = entry.usage.expect("what the spawner cost");
    assert_eq!((cost.agent_kind.as_str(), cost.calls), ("subprocess", 1));

    // A custom orbit, whose axes a program judges.
    let bundled = workspace_dir().join("lua/enhance-default.yaml");
    let bundled = std::fs::read_to_string(bundled).expect("the bundled orbit");
    let verdict = r#"{"axis": "tool", "status": "deny", "reason": "the tool said no"}"#;
    let router = shell(&format!("cat > /dev/null; echo '{verdict}'"));
    let orbit = bundled
        .replace("id: enhance-default", "id: enhance-tool")
        .replace(
            "kind: lua\n    spec: {fn_id: verifier_router}",
            &format!("kind: subprocess\n    spec: {}", router["spec"]),
        );
    assert!(orbit.contains("subprocess"));
    rig.client.put(orbit).await;
    rig.write_setting(|s| {
        s.blueprint_id = BlueprintId::parse("enhance-tool").expect("an id");
        s.verifier_axes = vec!["tool".to_owned()];
        s.spawner = None;
    })
    .await;
    let denied = rig.client.run("target", "tag y").await;
    let judged = assert_denied_by(&rig, &denied, "tool").await;
    assert_eq!(judged.reasons, ["tool: the tool said no"]);
    assert_sound(&rig, &[issue.issue_id, denied.issue_id], Attempts::One).await;
}

#[tokio::test]
async fn whatever_a_program_does_wrong_is_named() {
    let rig = rig(&[]).await;
    let mut ids = Vec::new();
    let program = |path: &str, args: Value| json!({"kind": "subprocess", "spec": {"program": path, "args": args}});
    for (spawner, words) in [
        (
            program("/bin/cat", json!([])),
            &["/bin/cat", "not allowed", "/bin/sh, /nowhere/at-all"][..],
        ),
        (program("sh", json!([])), &["\"sh\"", "not allowed"][..]),
        (
            program("/bin/sh", json!([1])),
            &["spec.args", "array of strings"][..],
        ),
        (
            program("/nowhere/at-all", json!([])),
            &["/nowhere/at-all cannot be started", "No such file"][..],
        ),
        (
            shell("echo first >&2; echo second >&2; exit 3"),
            &["status 3", "stderr ends: first | second"][..],
        ),
        (shell("kill -9 $$"), &["ended by signal 9"][..]),
        (shell("exit 0"), &["not one JSON value"][..]),
        (shell("echo 1 2"), &["not one JSON value"][..]),
        (
            shell("echo '{\"a\":1,\"a\":2}'"),
            &["not one JSON value", "\"a\""][..],
        ),
        (
            shell("printf '\"\\377\"'"),
            &["not one JSON value", "utf-8"][..],
        ),
        (shell("yes"), &["more than 1024 KiB to stdout"][..]),
        (
            shell("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo end >&2; exit 4"),
            &["status 4", "| end"][..],
        ),
    ] {
        use_spawner(&rig, &spawner, 60).await;
        let issue = rig.client.run("target", "x").await;
        let reason = assert_failed(&rig, &issue).await;
        for word in words {
            assert!(reason.contains(word), "{spawner}: {word:?}: {reason}");
        }
        assert!(reason.len() < 8 << 10, "{} bytes", reason.len());
        ids.push(issue.issue_id);
    }
    ids.push(assert_unharmed(&rig).await.issue_id);
    let log = rig.workers[0].stderr();
    assert!(log.contains("second"), "stderr is in the log");
    assert!(log.len() < 400 << 10, "{} bytes of log", log.len());
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn much_both_ways_does_not_block() {
    let rig = rig(&[]).await;
    rig.client.put(factory::hundred_kb("large")).await;
    let blanks = "head -c 900000 /dev/zero | tr '\\0' ' '";
    for script in [
        // Writes everything before it reads, reads before it writes, never reads.
        format!("{blanks}; echo '{PATCH}'; cat > /dev/null"),
        format!("cat > /dev/null; {blanks}; echo '{PATCH}'"),
        format!("exec 0<&-; {blanks}; echo '{PATCH}'"),
        // Writes as much to stderr in the meantime.
        format!("{blanks} >&2; echo '{PATCH}'; cat >&2"),
    ] {
        use_spawner(&rig, &shell(&script), 60).await;
        rig.client.edit_setting(factory::without_verification).await;
        let issue = rig.client.run("large", "x").await;
        assert_eq!(issue.state(), IssueState::Applied, "{script}: {issue:?}");
    }
}

#[tokio::test]
async fn the_environment_is_empty_but_for_what_is_passed_on() {
    let tells = |extra: &str| {
        format!(
            "vars=$(tr '\\0' ';' < /proc/$$/environ); dir=$(pwd); {extra} \
             printf '{{\"ops\":[],\"bump\":\"patch\",\"rationale\":\"<%s> in %s\"}}' \"$vars\" \"$dir\""
        )
    };
    let env = [
        ("SECRET_KEY", "hush"),
        ("FOR_PROGRAMS", "hello"),
        ("DRAFTSMAN_SUBPROCESS_ENV", "FOR_PROGRAMS, NOT_SET"),
    ];
    for (env, seen) in [
        (&env[..2], "<> in /"),
        (&env[..], "<FOR_PROGRAMS=hello;> in /"),
    ] {
        let rig = rig(env).await;
        rig.client.edit_setting(factory::without_verification).await;
        let issue = run(&rig, &tells(""), 60).await;
        let entry = rig.client.entry(&issue.issue_id).await;
        // The warning of a setting without verification follows.
        assert_eq!(entry.rationale.lines().next(), Some(seen), "{issue:?}");
    }
}

#[tokio::test]
async fn nothing_outlives_its_step() {
    let rig = rig(&[]).await;
    let marker = marker();
    // Ends successfully and leaves its children behind.
    let issue = run(&rig, &format!("{} echo '{PATCH}'", brood(&marker)), 60).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(n_with(&marker), 0, "gone before the step is over");
    // Hangs until the time limit.
    let hangs = format!("{} while :; do sleep {marker}; done", brood(&marker));
    let hung = run(&rig, &hangs, 1).await;
    let reason = assert_failed(&rig, &hung).await;
    assert!(reason.contains("time limit"), "{reason}");
    until_n_with(&marker, "nothing is left after the time limit", |n| n == 0).await;
    // Hangs until it is cancelled.
    use_spawner(&rig, &shell(&hangs), 600).await;
    let waits = rig.client.submit("target", "x").await.issue_id;
    until_n_with(&marker, "the program runs", |n| n > BROOD).await;
    let request = v1::CancelIssueRequest {
        issue_id: waits.clone(),
    };
    let mut intake = rig.client.intake.clone();
    intake.cancel_issue(request).await.expect("CancelIssue");
    until_n_with(&marker, "nothing is left after the cancel", |n| n == 0).await;
    let next = assert_unharmed(&rig).await.issue_id;
    assert_sound(
        &rig,
        &[issue.issue_id, hung.issue_id, waits, next],
        Attempts::One,
    )
    .await;
}

#[tokio::test]
async fn a_killed_worker_takes_its_programs_along() {
    let mut rig = rig(&[("DRAFTSMAN_LEASE_SECS", "1")]).await;
    let marker = marker();
    let hangs = format!("{} while :; do sleep {marker}; done", brood(&marker));
    use_spawner(&rig, &shell(&hangs), 600).await;
    let issue = rig.client.submit("target", "tag x").await.issue_id;
    until_n_with(&marker, "the program runs", |n| n > BROOD).await;
    rig.workers[0].kill();
    until_n_with(&marker, "nothing is left after SIGKILL", |n| n == 0).await;
    // Another worker takes the issue over.
    rig.client.edit_setting(|s| s.spawner = None).await;
    rig.add_worker(&[("DRAFTSMAN_LEASE_SECS", "1")]);
    let issue = rig.client.decided(&issue).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
}

#[tokio::test]
async fn a_program_has_its_own_time() {
    let rig = rig(&[]).await;
    let marker = marker();
    let mut spawner = shell(&format!("sleep {marker} & sleep {marker}"));
    spawner["spec"]["timeout_ms"] = json!(300);
    use_spawner(&rig, &spawner, 600).await;
    let issue = rig.client.run("target", "as the program likes").await;
    let reason = assert_failed(&rig, &issue).await;
    let said = "program /bin/sh did not end within 300 ms, the agent's spec.timeout_ms";
    assert!(reason.contains(said), "{reason}");
    eventually_now("nothing of it is left", || match n_with(&marker) {
        0 => Ok(()),
        n => Err(format!("{n} processes")),
    })
    .await;
    let next = assert_unharmed(&rig).await;
    let ids = [issue.issue_id, next.issue_id];
    assert_sound(&rig, &ids, Attempts::One).await;
}
