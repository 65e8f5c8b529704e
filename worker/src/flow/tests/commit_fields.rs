//! Each field of `$.commit` is required and has a fixed type.

use super::*;
use crate::flow::error::FlowError;

#[tokio::test]
async fn every_field_of_the_commit_is_read_strictly() {
    let committed =
        "local c = {committed = true, new_version = _CTX.applied.new_hash, new_bp_yaml = '',
        new_bp_json = _CTX.applied.new_bp_json, bump = 'patch', rationale = 'r',
        verdicts_summary = {{axis = 'a', status = 'pass', evidence = 1}}}\n";
    let denied = "local c = {committed = false, reasons = {'a: b'}, rationale = 'r',
        verdicts_summary = {{axis = 'a', status = 'deny', reason = 'b'}}}\n";
    let run = async |committer: &str| {
        let axis = ("verifiers/a.lua", "return {status = 'pass'}");
        let bench = Bench::with_scripts(&[("committer.lua", committer), axis]);
        let mut issue = input(TARGET, "tag x");
        issue.verifiers = vec!["a".to_owned()];
        bench.run(issue).await.decision
    };
    for start in [committed, denied] {
        let decision = run(&format!("{start} return c")).await;
        assert!(decision.is_ok(), "{decision:?}");
    }
    for (start, change, field) in [
        (committed, "c = 5", "$.commit"),
        (committed, "c.committed = nil", "$.commit.committed"),
        (committed, "c.committed = 'true'", "$.commit.committed"),
        (committed, "c.new_version = nil", "$.commit.new_version"),
        (committed, "c.new_version = ''", "$.commit.new_version"),
        (committed, "c.new_version = 5", "$.commit.new_version"),
        (
            committed,
            "c.new_version = _CTX.prev_hash",
            "$.commit.new_version",
        ),
        (committed, "c.new_bp_json = nil", "$.commit.new_bp_json"),
        (committed, "c.new_bp_json = {}", "$.commit.new_bp_json"),
        (committed, "c.bump = nil", "$.commit.bump"),
        (committed, "c.bump = 'huge'", "$.commit.bump"),
        (committed, "c.rationale = nil", "$.commit.rationale"),
        (committed, "c.rationale = {}", "$.commit.rationale"),
        (
            committed,
            "c.verdicts_summary = nil",
            "$.commit.verdicts_summary",
        ),
        (
            committed,
            "c.verdicts_summary = {}",
            "$.commit.verdicts_summary",
        ),
        (
            committed,
            "c.verdicts_summary[1] = 5",
            "$.commit.verdicts_summary[0]",
        ),
        (
            committed,
            "c.verdicts_summary[1].axis = nil",
            "$.commit.verdicts_summary[0].axis",
        ),
        (
            committed,
            "c.verdicts_summary[1].status = nil",
            "$.commit.verdicts_summary[0].status",
        ),
        (
            committed,
            "c.verdicts_summary[1].status = 'ok'",
            "$.commit.verdicts_summary[0].status",
        ),
        (
            committed,
            "c.verdicts_summary[1].evidence = nil",
            "$.commit.verdicts_summary[0].evidence",
        ),
        (
            denied,
            "c.verdicts_summary[1].reason = nil",
            "$.commit.verdicts_summary[0].reason",
        ),
        (denied, "c.reasons = nil", "$.commit.reasons"),
        (denied, "c.reasons = {}", "$.commit.reasons"),
        (denied, "c.reasons = host.array()", "$.commit.reasons"),
        (denied, "c.reasons = {5}", "$.commit.reasons[0]"),
        (denied, "c.rationale = nil", "$.commit.rationale"),
        (
            denied,
            "c.verdicts_summary = nil",
            "$.commit.verdicts_summary",
        ),
    ] {
        let error = run(&format!("{start}{change}\nreturn c"))
            .await
            .unwrap_err();
        let FlowError::CommitShape { field: found, .. } = &error else {
            panic!("{change}: {error:?}")
        };
        assert_eq!(found, field, "{change}: {error}");
        assert!(error.to_string().starts_with("commit shape: $.commit"));
    }
    let mut issue = input(TARGET, "set /id to other");
    issue.verifiers.clear();
    let outcome = Bench::bundled().run(issue).await;
    let error = outcome.decision.unwrap_err().to_string();
    assert!(
        error.contains("$.commit.new_bp_json.id is other"),
        "{error}"
    );
}
