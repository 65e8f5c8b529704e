//! Verification is disabled only explicitly, and every report shows it.

use std::path::Path;

use proto::v1::{IssueState, RejectionCause};
use tests::eventually::eventually;
use tests::factory::{self, setting};
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[tokio::test]
async fn a_setting_without_axes_has_to_say_so() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("b")).await;
    // A write by a client that does not know the field, or has forgotten the axes.
    let forgotten = setting("default", |s| s.verifier_axes.clear());
    let refused = rig
        .client
        .put_setting(forgotten)
        .await
        .expect_err("no axes");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let bad = refused.get_details_bad_request().expect("BadRequest");
    assert_eq!(bad.field_violations[0].field, "setting.verifier_axes");
    for words in ["des, canonical, noop", "no_verification"] {
        assert!(refused.message().contains(words), "{refused:?}");
    }
    let both = setting("default", |s| s.no_verification = true);
    let refused = rig.client.put_setting(both).await.expect_err("both");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let bad = refused.get_details_bad_request().expect("BadRequest");
    assert_eq!(bad.field_violations[0].field, "setting.no_verification");
    // A rejected write has no effect.
    let issue = rig.client.run("b", "nobody understands this").await;
    assert_eq!(issue.cause(), RejectionCause::Denied, "{issue:?}");
    let entry = rig.client.entry(&issue.issue_id).await;
    assert!(!entry.rationale.contains("warning"), "{entry:?}");
    assert_eq!(rig.client.stats().await.warnings, [""; 0]);

    let meant = setting("default", factory::without_verification);
    let put = rig.client.put_setting(meant).await.expect("PutSetting");
    assert!(put.setting.expect("the setting").no_verification);
    let issue = rig.client.run("b", "nobody understands this").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    // Later readers of the log or the history see it as well, for every outcome of the issue.
    let warning = "warning: the setting default has no verification, so no axis has judged this";
    let entry = rig.client.entry(&issue.issue_id).await;
    assert!(entry.rationale.ends_with(warning), "{entry:?}");
    let newest = rig.client.history("b").await.pop().expect("a commit");
    assert_eq!(newest.rationale, entry.rationale);
    let denied = rig.client.run("b", "remove /nope").await;
    assert_eq!(denied.cause(), RejectionCause::Denied, "{denied:?}");
    let entry = rig.client.entry(&denied.issue_id).await;
    assert!(entry.rationale.ends_with(warning), "{entry:?}");
    let warnings = rig.client.stats().await.warnings;
    let [warning] = &warnings[..] else {
        panic!("one warning: {warnings:?}")
    };
    assert!(
        warning.contains("no verifier_axes in the setting default"),
        "{warning}"
    );
    rig.workers[0]
        .until_logged("this setting has no verification")
        .await;
    let doctor = draftsman(&rig, &["doctor"]).await;
    let line = doctor
        .stdout
        .lines()
        .find(|line| line.contains("no verifier_axes in the setting default"));
    let line = line.unwrap_or_else(|| panic!("doctor does not warn: {doctor:?}"));
    assert!(line.starts_with("warn"), "{line}");
    let stats = draftsman(&rig, &["stats"]).await;
    assert!(
        stats
            .stdout
            .contains("warning: no verifier_axes in the setting default"),
        "{stats:?}"
    );

    // With axes again there is no warning.
    rig.client
        .put_setting(setting("default", |_| {}))
        .await
        .expect("PutSetting");
    assert_eq!(rig.client.stats().await.warnings, [""; 0]);
    let doctor = draftsman(&rig, &["doctor"]).await;
    assert!(doctor.stdout.contains("ok    settings"), "{doctor:?}");
}

#[tokio::test]
async fn the_terminal_program_writes_and_reads_it() {
    let rig = Rig::without_worker().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("setting.yaml");
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    let bare = "id: s\nblueprint_id: enhance-default\nttl_secs: 60\n";

    write(bare);
    let refused = draftsman(&rig, &["setting", "put", text(&file)]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("no_verification: true"),
        "{refused:?}"
    );
    write(&format!("{bare}verifier_axes: []\n"));
    let refused = draftsman(&rig, &["setting", "put", text(&file)]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("verifier_axes"), "{refused:?}");

    let put = draftsman(&rig, &["setting", "put", text(&file), "--no-verification"]).await;
    assert_eq!(put.code, Some(0), "{put:?}");
    let got = draftsman(&rig, &["setting", "get", "s"]).await;
    assert!(got.stdout.contains("no_verification: true"), "{got:?}");
    // The printed setting is accepted as input.
    write(&got.stdout);
    let again = draftsman(&rig, &["setting", "put", text(&file)]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let list = draftsman(&rig, &["setting", "list"]).await;
    let row = list.stdout.lines().find(|line| line.starts_with("s\t"));
    assert!(row.is_some_and(|row| row.contains("\tnone\t")), "{list:?}");
}

/// An earlier version stored settings without axes. It is unknown whether that was intended.
#[tokio::test]
async fn a_stored_setting_without_axes_that_does_not_say_so_commits_nothing() {
    let rig = Rig::start().await;
    let first = rig.client.put(factory::small("b")).await;
    rig.write_setting(|s| s.verifier_axes.clear()).await;
    let issue = rig.client.run("b", "tag x").await;
    assert_eq!(issue.cause(), RejectionCause::Failed, "{issue:?}");
    for words in [
        "setting default has no verifier_axes",
        "no_verification: true",
    ] {
        assert!(issue.reason.contains(words), "{issue:?}");
    }
    assert_eq!(rig.client.history("b").await, [first]);
    eventually("doctor says so", async || {
        let doctor = draftsman(&rig, &["doctor"]).await;
        let said = doctor.code == Some(1) && doctor.stdout.contains("no verifier_axes in default");
        said.then_some(()).ok_or(format!("{doctor:?}"))
    })
    .await;
}

/// The orbit of a setting has its own format option: YAML in flow style starts like JSON.
#[tokio::test]
async fn the_language_of_an_orbit_beside_a_setting_can_be_given() {
    let rig = Rig::without_worker().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (setting, orbit) = (dir.path().join("s.yaml"), dir.path().join("orbit.yaml"));
    let fields = "id: s\nblueprint_id: own-orbit\nttl_secs: 60\nverifier_axes: [des]\n";
    std::fs::write(&setting, fields).expect("a file");
    let flow = "{kind: let, at: $.commit, value: {op: lit, value: {}}}";
    let document = format!("{{id: own-orbit, flow: {flow}, agents: []}}\n");
    std::fs::write(&orbit, document).expect("a file");
    let put = ["setting", "put", text(&setting), "--orbit", text(&orbit)];
    let refused = draftsman(&rig, &put).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("orbit_document"), "{refused:?}");
    let stored = draftsman(&rig, &[&put[..], &["--orbit-format", "yaml"]].concat()).await;
    assert_eq!(stored.code, Some(0), "{stored:?}");
    assert!(stored.stdout.contains("own-orbit: commit 1"), "{stored:?}");
    let json = draftsman(&rig, &[&put[..], &["--orbit-format", "json"]].concat()).await;
    assert_eq!(json.code, Some(1), "{json:?}");
}
