//! What the lists of `draftsman` show and leave out.

use proto::v1;
use serde_json::Value;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::{Finished, Process, Program, run};
use tests::rig::Rig;
use tonic::Request;

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    draftsman_as(rig, args, "ann").await
}

async fn draftsman_as(rig: &Rig, args: &[&str], user: &str) -> Finished {
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str()), ("USER", user)];
    run(Program::Draftsman, args, &env).await
}

/// The first field of each line.
fn ids(listed: &Finished) -> Vec<String> {
    let first = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    listed.stdout.lines().map(first).collect()
}

/// A rig with five issues of a Blueprint: applied, denied, cancelled, and two that wait.
async fn filled() -> Rig {
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("support-swarm")).await;
    for (id, intent, user) in [
        ("a1", "tag one", "ann"),
        ("d1", "nobody understands this", "bob"),
    ] {
        let args = [
            "submit",
            "support-swarm",
            intent,
            "--issue-id",
            id,
            "--unchecked",
        ];
        let submitted = draftsman_as(&rig, &args, user).await;
        assert!(submitted.code < Some(3), "{submitted:?}");
    }
    rig.workers.clear();
    for id in ["c1", "p1", "p2"] {
        let args = [
            "submit",
            "support-swarm",
            "tag two",
            "--issue-id",
            id,
            "--detach",
        ];
        assert_eq!(draftsman(&rig, &args).await.code, Some(0));
    }
    assert_eq!(draftsman(&rig, &["cancel", "c1"]).await.code, Some(0));
    rig
}

#[tokio::test]
async fn a_list_says_what_it_leaves_out() {
    let rig = filled().await;
    let all = draftsman(&rig, &["issues"]).await;
    assert_eq!(ids(&all), ["p2", "p1", "c1", "d1", "a1"]);
    assert_eq!(all.stderr, "");
    let some = draftsman(&rig, &["issues", "--limit", "2"]).await;
    assert_eq!(ids(&some), ["p2", "p1"]);
    assert_eq!(some.stderr, "showing 2; more with --limit or --all\n");
    let exact = draftsman(&rig, &["issues", "--limit", "5"]).await;
    assert_eq!(exact.stderr, "", "nothing is left out");
    let everything = draftsman(&rig, &["issues", "--all"]).await;
    assert_eq!(everything.stdout, all.stdout);
    for (args, has_more) in [(&["--limit", "1"][..], true), (&["--all"], false)] {
        for verb in ["issues", "log"] {
            let args: Vec<&str> = [&[verb, "--output", "json"], args].concat();
            let listed = draftsman(&rig, &args).await;
            let value: Value = serde_json::from_str(&listed.stdout).expect("JSON");
            assert_eq!(value["has_more"], has_more, "{args:?}: {value}");
        }
    }

    // The commits of a Blueprint are numbered, so their total is known.
    for n in 0..2 {
        let document = factory::small("support-swarm").replace("sample support", &format!("{n}"));
        rig.client.put(document).await;
    }
    let history = draftsman(&rig, &["history", "support-swarm", "--limit", "1"]).await;
    assert_eq!(history.stdout.lines().count(), 1, "{history:?}");
    assert_eq!(
        history.stderr,
        "showing 1 of 4; more with --limit or --all\n"
    );
    let moves = ["channels", "support-swarm", "--moves", "--limit", "1"];
    for version in ["1", "2"] {
        let args = ["promote", "support-swarm", "live", version, "--yes"];
        assert_eq!(draftsman(&rig, &args).await.code, Some(0));
    }
    let moves = draftsman(&rig, &moves).await;
    assert!(moves.stderr.starts_with("showing 1;"), "{moves:?}");
}

#[tokio::test]
async fn the_filters_take_what_the_columns_show() {
    let rig = filled().await;
    for (state, listed) in [
        ("pending", &["p2", "p1"][..]),
        ("in_flight", &[]),
        ("applied", &["a1"]),
        ("rejected", &["c1", "d1"]),
        ("denied", &["d1"]),
        ("failed", &[]),
        ("cancelled", &["c1"]),
    ] {
        let found = draftsman(&rig, &["issues", "--state", state]).await;
        assert_eq!(ids(&found), listed, "{state}");
        let shown = found.stdout.lines().all(|line| {
            let shown = line.split('\t').nth(2);
            shown == Some(state) || state == "rejected"
        });
        assert!(shown, "{found:?}");
    }
    let bobs = draftsman(&rig, &["issues", "--actor", "bob"]).await;
    assert_eq!(ids(&bobs), ["d1"]);
    let bobs = draftsman(&rig, &["log", "--actor", "bob"]).await;
    assert_eq!(bobs.stdout.lines().count(), 1, "{bobs:?}");

    for verb in ["issues", "log"] {
        let recent = draftsman(&rig, &[verb, "--since", "2h"]).await;
        assert_eq!(recent.stdout, draftsman(&rig, &[verb]).await.stdout);
        let future = draftsman(&rig, &[verb, "--since", "2099-01-01T00:00:00Z"]).await;
        assert_eq!(future.stdout, "");
        assert!(future.stderr.starts_with("no "), "{future:?}");
        let bad = draftsman(&rig, &[verb, "--since", "yesterday"]).await;
        assert_eq!(bad.code, Some(64), "{bad:?}");

        let unknown = draftsman(&rig, &[verb, "--blueprint", "suport-swarm"]).await;
        assert_eq!(unknown.code, Some(1), "{unknown:?}");
        assert!(
            unknown.stderr.contains("did you mean `support-swarm`?"),
            "{unknown:?}"
        );
    }
    // The time of the first issue that is listed, exactly: it is in, and what came before is not.
    let json = draftsman(&rig, &["issues", "p1", "--output", "json"]).await;
    let p1: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let at = p1["issue"]["submitted_at"].as_str().expect("a time");
    let since = draftsman(&rig, &["issues", "--since", at]).await;
    assert_eq!(ids(&since), ["p2", "p1"], "since {at}");

    // A Blueprint that exists and has no issues is not an error.
    rig.client.put(factory::small("quiet")).await;
    let none = draftsman(&rig, &["issues", "--blueprint", "quiet"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    for verb in [&["get", "suport-swarm"][..], &["history", "suport-swarm"]] {
        let unknown = draftsman(&rig, verb).await;
        assert!(unknown.stderr.contains("`support-swarm`"), "{unknown:?}");
    }
}

#[tokio::test]
async fn a_watched_list_prints_each_change() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("support-swarm")).await;
    let first = v1::SubmitIssueRequest {
        blueprint_id: "support-swarm".to_owned(),
        intent: "tag one".to_owned(),
        issue_id: Some("first".to_owned()),
        ..Default::default()
    };
    let mut intake = rig.client.intake.clone();
    intake
        .submit_issue(Request::new(first.clone()))
        .await
        .expect("an issue");
    let addr = format!("http://{}", rig.address);
    let mut watch = Process::start(
        Program::Draftsman,
        &["issues", "--watch"],
        &[("DRAFTSMAN_ADDR", &addr)],
    );
    let states = |watch: &Process, id: &str| {
        let lines = watch.stdout();
        let of_id = lines.lines().filter(|line| line.starts_with(id));
        let states = of_id.filter_map(|line| line.split('\t').nth(2).map(str::to_owned));
        states.collect::<Vec<_>>()
    };
    let until = async |watch: &Process, id: &str, state: &str| {
        eventually("the change is printed", async || {
            let states = states(watch, id);
            match states.last().map(String::as_str) == Some(state) {
                true => Ok(()),
                false => Err(format!("{states:?}")),
            }
        })
        .await;
    };
    until(&watch, "first", "pending").await;
    let second = v1::SubmitIssueRequest {
        issue_id: Some("second".to_owned()),
        intent: "nobody understands this".to_owned(),
        ..first
    };
    intake
        .submit_issue(Request::new(second))
        .await
        .expect("an issue");
    until(&watch, "second", "pending").await;
    rig.add_worker(&[]);
    until(&watch, "first", "applied").await;
    until(&watch, "second", "denied").await;
    watch.kill();
}
