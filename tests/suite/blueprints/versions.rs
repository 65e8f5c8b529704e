//! Comparison of two versions, and restoring an earlier one as the head.

use proto::v1;
use serde_json::Value;
use shared::blueprint::{json, patch};
use shared::ids::Version;
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn with(member: &str) -> String {
    format!(r#"{{"id":"compared","flow":{{}},"agents":[],"x":{member}}}"#)
}

async fn diff(rig: &Rig, from: &str, to: &str) -> Result<v1::DiffBlueprintResponse, Status> {
    let request = v1::DiffBlueprintRequest {
        blueprint_id: "compared".to_owned(),
        from_version: from.to_owned(),
        to_version: to.to_owned(),
    };
    let mut blueprints = rig.client.blueprints.clone();
    Ok(blueprints.diff_blueprint(request).await?.into_inner())
}

async fn revert(
    rig: &Rig,
    id: &str,
    version: &str,
    why: Option<&str>,
) -> Result<v1::Commit, Status> {
    let request = v1::RevertBlueprintRequest {
        blueprint_id: id.to_owned(),
        version: version.to_owned(),
        rationale: why.map(str::to_owned),
    };
    let answer = rig
        .client
        .blueprints
        .clone()
        .revert_blueprint(request)
        .await;
    Ok(answer?.into_inner().commit.expect("a commit"))
}

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request().into_iter();
    let violations = details.flat_map(|bad_request| bad_request.field_violations);
    violations.map(|violation| violation.field).collect()
}

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

#[tokio::test]
async fn a_patch_leads_from_any_version_to_any_other() {
    let rig = Rig::without_worker().await;
    let members = [
        "null",
        "1",
        "1.0",
        "[]",
        "{}",
        "[1,2,3,4]",
        "[4,1,2,3]",
        "[1,3,4]",
        "[[],{},null,[null]]",
        r#"{"a/b":1,"m~n":2,"":3,"0":4,"~1":5}"#,
        r#"{"a/b":{"~":[]},"m~n":2.0,"-":null,"~1":{}}"#,
        "[1152921504606846977,-0.0,1e3]",
        "[1152921504606846978,0.0,1000]",
        r#""größer ☃""#,
    ];
    let mut versions = Vec::new();
    for member in members {
        versions.push(rig.client.put(with(member)).await.version);
    }
    for (from, old) in versions.iter().zip(members) {
        for (to, new) in versions.iter().zip(members) {
            let answer = diff(&rig, from, to).await.expect("DiffBlueprint");
            let ops = json::parse(&answer.json_patch).expect("JSON");
            let [old, new] = [old, new].map(|m| json::parse(&with(m)).expect("JSON"));
            let ours = patch::apply(&old, &ops).expect("a patch that applies");
            assert!(ours.identical(&new), "{}", answer.json_patch);
            let theirs: json_patch::Patch =
                serde_json::from_str(&answer.json_patch).expect("RFC 6902");
            let mut there = Value::from(&old);
            json_patch::patch(&mut there, &theirs).expect("a patch that applies");
            assert_eq!(there, Value::from(&new), "{}", answer.json_patch);
            assert_eq!(answer.json_patch == "[]", from == to);
            assert_eq!(answer.unified_diff.is_empty(), from == to);
        }
    }
    let answer = diff(&rig, &versions[1], &versions[2])
        .await
        .expect("a diff");
    let expected = format!(
        "--- compared {}\n+++ compared {}\n@@ -1,4 +1,4 @@\n agents: []\n flow: {{}}\n id: compared\n-x: 1\n+x: 1.0\n",
        versions[1], versions[2]
    );
    assert_eq!(answer.unified_diff, expected);
}

#[tokio::test]
async fn what_cannot_be_compared_is_named() {
    let rig = Rig::without_worker().await;
    let here = rig.client.put(with("1")).await.version;
    let nowhere = "0".repeat(64);
    for (from, to, code, field) in [
        (&nowhere, &here, Code::NotFound, "from_version"),
        (&here, &nowhere, Code::NotFound, "to_version"),
        (
            &"abc".to_owned(),
            &here,
            Code::InvalidArgument,
            "from_version",
        ),
    ] {
        let status = diff(&rig, from, to).await.expect_err("no such version");
        assert_eq!(
            (status.code(), fields(&status)),
            (code, vec![field.to_owned()])
        );
        assert!(status.message().contains(field), "{status}");
    }
    let status = revert(&rig, "compared", &nowhere, None).await;
    let status = status.expect_err("no such version");
    assert_eq!(
        (status.code(), fields(&status)),
        (Code::NotFound, vec!["version".to_owned()])
    );
    let status = revert(&rig, "nobody", &here, None).await;
    let status = status.expect_err("no such Blueprint");
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("no Blueprint nobody"), "{status}");

    // Two documents of a megabyte without a common line: old and new, as a patch and as lines.
    let large = |letter: &str| {
        with(&format!(
            "[{}\"\"]",
            format!("\"{}\",", letter.repeat(100)).repeat(9_980)
        ))
    };
    let old = rig.client.put(large("a")).await.version;
    let new = rig.client.put(large("b")).await.version;
    let status = diff(&rig, &old, &new).await.expect_err("too large");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, "ANSWER_TOO_LARGE");
    assert!(status.message().contains("3 MiB"), "{status}");
}

#[tokio::test]
async fn a_revert_is_a_new_commit_with_the_old_content() {
    let rig = Rig::without_worker().await;
    let first = rig.client.put(with("1")).await;
    let second = rig.client.put(with("2")).await;

    let third = revert(&rig, "compared", &first.version, None).await;
    let third = third.expect("a commit");
    assert_eq!((third.seq, &third.version), (3, &first.version));
    assert_eq!(third.parents, [second.version.as_str()]);
    assert_eq!(
        third.rationale,
        format!("revert to version {} of commit 1", &first.version[..12])
    );
    // The present content creates no commit. A content that was head twice creates one.
    let again = revert(&rig, "compared", &first.version, Some("why")).await;
    assert_eq!(again.expect("the present commit"), third);
    let fourth = revert(&rig, "compared", &second.version, Some("why")).await;
    let fourth = fourth.expect("a commit");
    assert_eq!((fourth.seq, fourth.rationale.as_str()), (4, "why"));
    let fifth = revert(&rig, "compared", &first.version, None).await;
    let fifth = fifth.expect("a commit");
    assert_eq!(fifth.seq, 5);
    assert!(fifth.rationale.ends_with("of commit 3"), "{fifth:?}");
    assert_eq!(rig.client.history("compared").await.len(), 5);
}

#[tokio::test]
async fn what_may_not_be_written_today_is_not_reverted_to() {
    let rig = Rig::without_worker().await;
    // Older than the rule for labels, and imported from another system.
    let document = "agents: []\nflow: {}\nid: old\nmetadata:\n  version_label: one\n";
    let message = v1::ImportBlueprintRequest {
        commit: Some(v1::Commit {
            blueprint_id: "old".to_owned(),
            seq: 1,
            version: Version::of(document).to_string(),
            version_label: "one".to_owned(),
            committed_at: Some(prost_types::Timestamp::default()),
            ..Default::default()
        }),
        document_yaml: document.to_owned(),
        last: true,
        ..Default::default()
    };
    let mut blueprints = rig.client.blueprints.clone();
    let imported = blueprints.import_blueprint(futures::stream::iter([message]));
    let imported = imported.await.expect("ImportBlueprint").into_inner().commit;
    let old = imported.expect("a commit").version;
    let new = rig.client.put("id: old\nflow: {}\nagents: []\n").await;
    let status = revert(&rig, "old", &old, None).await;
    let status = status.expect_err("its label is no semver");
    assert_eq!(
        (status.code(), fields(&status)),
        (Code::InvalidArgument, vec!["version".to_owned()])
    );
    assert!(status.message().contains("version_label"), "{status}");
    assert_eq!(rig.client.head("old").await.commit, Some(new));
}

#[tokio::test]
async fn an_orbit_in_use_is_not_reverted_to_what_would_not_run() {
    let rig = Rig::without_worker().await;
    let orbit = rig.client.head_json("enhance-default").await;
    let mut own = orbit.clone();
    own["id"] = "own".into();
    let mut broken = own.clone();
    broken["agents"] = serde_json::json!([]);
    let broken = rig.client.put(broken.to_string()).await;
    let good = rig.client.put(own.to_string()).await;
    rig.client
        .edit_setting(|s| s.blueprint_id = "own".to_owned())
        .await;
    let status = revert(&rig, "own", &broken.version, None).await;
    let status = status.expect_err("it would not run");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, "ORBIT_NOT_RUNNABLE");
    let head = rig.client.head("own").await.commit;
    assert_eq!(head, Some(good));
}

#[tokio::test]
async fn a_person_compares_and_reverts() {
    let rig = Rig::without_worker().await;
    for member in ["1", "2"] {
        rig.client.put(with(member)).await;
    }
    let shown = draftsman(&rig, &["diff", "compared"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains("\n-x: 1\n+x: 2\n"), "{shown:?}");
    assert!(
        !shown.stdout.contains('\x1b'),
        "no colour in a pipe: {shown:?}"
    );
    let back = draftsman(&rig, &["diff", "compared", "2", "1", "--patch"]).await;
    assert_eq!(
        back.stdout,
        "[{\"op\":\"replace\",\"path\":\"/x\",\"value\":1}]\n"
    );
    let answer = draftsman(&rig, &["diff", "compared", "1", "--output", "json"]).await;
    let answer: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(answer["unified_diff"], shown.stdout);
    let nothing = draftsman(&rig, &["diff", "compared", "2", "2"]).await;
    assert_eq!(nothing.stdout, "no difference\n");
    let first = draftsman(&rig, &["diff", "compared", "--", "1", "1"]).await;
    assert_eq!(first.stdout, "no difference\n");

    let reverted = draftsman(&rig, &["revert", "compared", "1", "--rationale", "why"]).await;
    assert_eq!(reverted.code, Some(0), "{reverted:?}");
    assert!(reverted.stdout.contains("commit 3"), "{reverted:?}");
    let reverted = draftsman(&rig, &["revert", "compared", "2", "--output", "json"]).await;
    let reverted: Value = serde_json::from_str(&reverted.stdout).expect("JSON");
    assert_eq!(reverted["commit"]["seq"], 4);
    let unknown = draftsman(&rig, &["revert", "compared", "9"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert_eq!(rig.client.history("compared").await[2].rationale, "why");
    let sample = draftsman(&rig, &["get", "compared"]).await;
    assert!(sample.stdout.contains("x: 2"), "{sample:?}");
}

/// The number of a commit and a version prefix are looked up directly, independent of the length of
/// the history.
#[tokio::test]
async fn naming_a_version_costs_no_history() {
    const N_COMMITS: u64 = 60;
    let rig = Rig::without_worker().await;
    let mut versions = Vec::new();
    for n in 1..=N_COMMITS {
        let put = v1::PutBlueprintRequest {
            document: with(&n.to_string()),
            rationale: Some("r".repeat(4_000)),
            ..Default::default()
        };
        let stored = rig.client.blueprints.clone().put_blueprint(put).await;
        let stored = stored.expect("PutBlueprint").into_inner();
        versions.push(stored.commit.expect("a commit").version);
    }
    let bytes = async || -> u64 {
        let mut connection = rig.redis.connection().await;
        let info: redis::InfoDict = redis::cmd("INFO")
            .arg("stats")
            .query_async(&mut connection)
            .await
            .expect("INFO");
        info.get("total_net_output_bytes").expect("a number")
    };
    for given in ["5", &versions[4][..12]] {
        let before = bytes().await;
        let told = draftsman(&rig, &["diff", "compared", given]).await;
        let sent = bytes().await - before;
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(
            told.stdout.contains("-x: 5") && told.stdout.contains("+x: 60"),
            "{told:?}"
        );
        assert!(
            sent < 60_000,
            "{given}: {sent} bytes of a history of 240,000"
        );
    }
    // Several of 60 versions start with the same letter.
    let begins_twice = |letter: &char| {
        let named = versions
            .iter()
            .filter(|version| version.starts_with(*letter));
        named.count() > 1
    };
    let ambiguous = "abcdef".chars().find(begins_twice);
    let ambiguous = ambiguous.expect("60 versions").to_string();
    let several = draftsman(&rig, &["diff", "compared", &ambiguous]).await;
    assert_eq!(several.code, Some(1), "{several:?}");
    assert!(several.stderr.contains("several"), "{several:?}");
    for missing in ["61", "ffffffffffff", "no-version", "ab*"] {
        let missing = draftsman(&rig, &["diff", "compared", missing]).await;
        assert_eq!(missing.code, Some(1), "{missing:?}");
        assert!(missing.stderr.contains("no version"), "{missing:?}");
    }

    let mut page_token = String::new();
    for seqs in [[4, 3], [2, 1]] {
        let request = v1::ListCommitsRequest {
            blueprint_id: "compared".to_owned(),
            page_size: 2,
            page_token,
            before_seq: 5,
            ..Default::default()
        };
        let page = rig.client.blueprints.clone().list_commits(request).await;
        let page = page.expect("ListCommits").into_inner();
        let listed: Vec<u64> = page.commits.iter().map(|commit| commit.seq).collect();
        assert_eq!(listed, seqs);
        page_token = page.next_page_token;
    }
    assert_eq!(page_token, "");
}
