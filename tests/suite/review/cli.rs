//! Reviews in `draftsman`: on a terminal of 80 columns, and in a script.

use serde_json::Value;
use tests::programs::{Finished, Program, run};
use tests::prompt::Prompt;

use super::stage::{ALICE, BOB, Stage, TARGET};

const COLUMNS: u16 = 80;

/// Runs a verb in a script, as the holder of `token`.
async fn script(stage: &Stage, token: &str, args: &[&str]) -> Finished {
    let addr = format!("http://{}", stage.rig.address);
    let env = [
        ("DRAFTSMAN_ADDR", addr.as_str()),
        ("DRAFTSMAN_TOKEN", token),
    ];
    run(Program::Draftsman, args, &env).await
}

/// Starts a verb on a terminal, as the holder of `token`.
fn terminal(stage: &Stage, token: &str, args: &[&str]) -> Prompt {
    let addr = format!("http://{}", stage.rig.address);
    let env = [
        ("DRAFTSMAN_ADDR", addr.as_str()),
        ("DRAFTSMAN_TOKEN", token),
    ];
    Prompt::start(COLUMNS, args, &env)
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[tokio::test]
async fn a_reviewer_sees_the_change_and_decides_on_a_terminal() {
    let stage = Stage::start().await;
    let empty = script(&stage, BOB, &["review"]).await;
    assert_eq!(
        (empty.code, empty.stdout.as_str()),
        (Some(0), ""),
        "{empty:?}"
    );
    // A submitter who waits is told what happens and who can decide it.
    let submitter = terminal(&stage, ALICE, &["submit", TARGET, "tag calm"]);
    submitter.until("in review").await;
    for words in [
        "human-review",
        "draftsman review ",
        "scope review",
        "not alice",
    ] {
        submitter.until(words).await;
    }
    let inbox = terminal(&stage, BOB, &["review"]).finished().await;
    assert_eq!(inbox.code, Some(0), "{inbox:?}");
    assert!(inbox.stdout.contains("tag calm"), "{inbox:?}");
    for line in inbox.stdout.lines() {
        assert!(
            line.chars().count() <= COLUMNS.into(),
            "{line:?} in\n{}",
            inbox.stdout
        );
    }

    let listed = json(&script(&stage, BOB, &["review", "--output", "json"]).await);
    let issue_id = listed["issues"][0]["issue_id"].as_str().expect("an id");
    assert_eq!(listed["issues"][0]["state"], "in_review");
    let mut reviewer = terminal(&stage, BOB, &["review", issue_id]);
    reviewer.until("approve, decline or skip?").await;
    let shown = reviewer.screen();
    let parts = ["alice", "tag calm", "+  - calm", "human-review", "approve,"];
    let mut rest = shown.as_str();
    for part in parts {
        let at = rest.find(part);
        let at =
            at.unwrap_or_else(|| panic!("{part} is missing after the other parts in\n{shown}"));
        rest = &rest[at..];
    }
    reviewer.type_line("a");
    reviewer.until("comment").await;
    reviewer.type_line("looks right");
    let approved = reviewer.finished().await;
    assert_eq!(approved.code, Some(0), "{approved:?}");
    assert!(approved.stdout.contains("approved"), "{approved:?}");
    let submitted = submitter.finished().await;
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    assert!(submitted.stdout.contains("applied"), "{submitted:?}");

    let entry = script(&stage, BOB, &["log", issue_id]).await;
    for words in ["bob", "looks right"] {
        assert!(entry.stdout.contains(words), "{entry:?}");
    }
    let again = script(&stage, BOB, &["review", issue_id]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("ISSUE_DECIDED"), "{again:?}");
}

#[tokio::test]
async fn a_reviewer_declines_or_skips_on_a_terminal() {
    let stage = Stage::start().await;
    let proposal = stage.propose(ALICE, "tag calm").await;
    let id = proposal.issue_id.as_str();
    let mut reviewer = terminal(&stage, BOB, &["review", id]);
    reviewer.until("approve, decline or skip?").await;
    reviewer.type_line("");
    let skipped = reviewer.finished().await;
    assert_eq!(skipped.code, Some(0), "{skipped:?}");
    assert!(
        skipped.stdout.contains("nothing was decided"),
        "{skipped:?}"
    );

    let mut reviewer = terminal(&stage, BOB, &["review", id]);
    reviewer.until("approve, decline or skip?").await;
    reviewer.type_line("d");
    reviewer.until("reason").await;
    reviewer.type_line("");
    let unreasoned = reviewer.finished().await;
    assert_eq!(unreasoned.code, Some(1), "{unreasoned:?}");

    let watcher = terminal(&stage, ALICE, &["watch", id]);
    watcher.until("in review").await;
    let mut reviewer = terminal(&stage, BOB, &["review", id]);
    reviewer.until("approve, decline or skip?").await;
    reviewer.type_line("d");
    reviewer.until("reason").await;
    reviewer.type_line("too calm");
    let declined = reviewer.finished().await;
    assert_eq!(declined.code, Some(0), "{declined:?}");
    assert!(declined.stdout.contains("declined"), "{declined:?}");
    let watched = watcher.finished().await;
    assert_eq!(watched.code, Some(2), "{watched:?}");
    for words in ["rejected (declined)", "too calm"] {
        assert!(watched.stdout.contains(words), "{watched:?}");
    }
}

/// The head moves while a reviewer reads.
#[tokio::test]
async fn a_reviewer_is_told_that_the_head_has_moved() {
    let stage = Stage::start().await;
    let proposal = stage.propose(ALICE, "tag calm").await;
    let id = proposal.issue_id.as_str();
    let mut reviewer = terminal(&stage, BOB, &["approve", id]);
    reviewer.until("[y/N]").await;
    let moved = tests::factory::small(TARGET).replace("sample guarded", "another description");
    stage.put(moved).await;
    reviewer.type_line("y");
    let stale = reviewer.finished().await;
    assert_eq!(stale.code, Some(1), "{stale:?}");
    let said = stale.stdout.replace('\n', "");
    for words in [
        "nothing was committed: the head has moved",
        "draftsman review",
    ] {
        assert!(said.contains(words), "{stale:?}");
    }
    stage
        .until(id, "in review again", |issue| {
            issue.state() == proto::v1::IssueState::InReview && issue.attempt > 1
        })
        .await;
    let approved = script(&stage, BOB, &["approve", id, "--yes", "--output", "json"]).await;
    assert_eq!(
        json(&approved)["issue"]["decided_by"],
        "bob",
        "{approved:?}"
    );
}

#[tokio::test]
async fn a_script_names_what_it_decides() {
    let stage = Stage::start().await;
    let previewed = script(&stage, ALICE, &["preview", TARGET, "tag calm"]).await;
    assert_eq!(previewed.code, Some(5), "{previewed:?}");
    assert!(
        previewed.stdout.contains("would need a review"),
        "{previewed:?}"
    );
    let submit = [
        "submit",
        TARGET,
        "tag calm",
        "--detach-on-review",
        "--output",
        "json",
    ];
    let submitted = script(&stage, ALICE, &submit).await;
    assert_eq!(submitted.code, Some(5), "{submitted:?}");
    let submitted = json(&submitted);
    assert_eq!(submitted["issue"]["state"], "in_review");
    let id = submitted["issue"]["issue_id"].as_str().expect("an id");
    let watched = script(&stage, ALICE, &["watch", id, "--detach-on-review"]).await;
    assert_eq!(watched.code, Some(5), "{watched:?}");

    let shown = json(&script(&stage, BOB, &["review", id, "--output", "json"]).await);
    let version = shown["proposal"]["new_version"]
        .as_str()
        .expect("a version");
    let base = shown["proposal"]["base_version"]
        .as_str()
        .expect("a version");
    // Without a terminal nothing is asked, and nothing is decided.
    let text = script(&stage, BOB, &["review", id]).await;
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(text.stdout.contains("+  - calm"), "{text:?}");
    let unanswered = script(&stage, BOB, &["approve", id]).await;
    assert_eq!(unanswered.code, Some(1), "{unanswered:?}");

    let other = ["approve", id, "--version", "00000000", "--base", &base[..8]];
    let refused = script(&stage, BOB, &other).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&version[..12]), "{refused:?}");
    let usage = script(&stage, BOB, &["approve", id, "--version", version]).await;
    assert_eq!(usage.code, Some(64), "{usage:?}");
    let refused = script(
        &stage,
        ALICE,
        &["approve", id, "--version", version, "--base", base],
    )
    .await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("SCOPE_TOO_NARROW"), "{refused:?}");
    let approve = [
        "approve",
        id,
        "--version",
        &version[..8],
        "--base",
        &base[..8],
        "--comment",
        "ok",
    ];
    let approved = script(&stage, BOB, &approve).await;
    assert_eq!(approved.code, Some(0), "{approved:?}");
    // In full, a repeated approval has the same answer.
    let again = [
        "approve",
        id,
        "--version",
        version,
        "--base",
        base,
        "--output",
        "json",
    ];
    let again = json(&script(&stage, BOB, &again).await);
    assert_eq!(again["issue"]["new_version"], version);
    let history = json(&script(&stage, BOB, &["history", TARGET, "--output", "json"]).await);
    let commit = &history["commits"][0];
    assert_eq!(
        (&commit["author"], &commit["decided_by"], &commit["comment"]),
        (&"alice".into(), &"bob".into(), &"ok".into())
    );

    let proposal = stage.propose(ALICE, "tag more").await;
    let decline = [
        "decline",
        &proposal.issue_id,
        "not",
        "now",
        "--output",
        "json",
    ];
    let declined = json(&script(&stage, BOB, &decline).await);
    assert_eq!(
        (&declined["issue"]["cause"], &declined["issue"]["reason"]),
        (&"declined".into(), &"not now".into())
    );
    let stats = json(&script(&stage, BOB, &["stats", "--output", "json"]).await);
    assert_eq!(stats["in_review"], 0);
}

/// Text of a submitter reaches no reviewer's terminal as a command.
#[tokio::test]
async fn text_from_a_submitter_is_escaped() {
    let stage = Stage::start().await;
    let intent = "set prompt of agent agent-0 to \x1b]0;owned\x07 a\u{202e}b";
    let proposal = stage.propose(ALICE, intent).await;
    let mut reviewer = terminal(&stage, BOB, &["review", &proposal.issue_id]);
    reviewer.until("approve, decline or skip?").await;
    let shown = reviewer.output();
    assert!(
        !shown.contains('\x07') && !shown.contains("\x1b]") && !shown.contains('\u{202e}'),
        "{shown:?}"
    );
    assert!(shown.contains("\\u{1b}]0;owned"), "{shown:?}");
    reviewer.type_line("s");
    reviewer.finished().await;
}
