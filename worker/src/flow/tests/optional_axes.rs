//! The axes that are bundled and off unless a setting names them.

use super::*;

/// [`TARGET`] with `rules` as its `metadata.verifiers`.
fn ruled(rules: &str) -> String {
    let with_rules = format!("metadata: {{verifiers: {rules}, ");
    TARGET.replace("metadata: {", &with_rules)
}

async fn judged(axis: &str, target: &str, intent: &str) -> Result<(), String> {
    let mut issue = input(target, intent);
    issue.verifiers = vec![axis.to_owned()];
    match Bench::bundled().run(issue).await.unwrap().decision {
        Decision::Commit { .. } => Ok(()),
        Decision::Deny { reasons, .. } => Err(reasons.join("; ")),
    }
}

#[tokio::test]
async fn protected_paths_stay_as_they_are() {
    let rules = "{protected-paths: [/agents/0/profile, /x~1y, /number]}";
    let target = format!("{}x/y: [1]\nnumber: 1\n", ruled(rules).trim_start());
    for (intent, denied) in [
        ("tag x", None),
        ("set /agents/1/kind to lua", None),
        (
            "set prompt of agent writer to Hm.",
            Some("/agents/0/profile"),
        ),
        ("remove /agents/0", Some("/agents/0/profile")),
        ("set /x~1y/0 to 2", Some("/x~1y")),
        ("remove /x~1y", Some("/x~1y")),
        ("set /number to 1.0", Some("/number")),
        (
            "set /metadata/verifiers/protected-paths to []",
            Some("/metadata/verifiers"),
        ),
        ("remove /metadata", Some("/metadata/verifiers")),
    ] {
        let judgement = judged("protected-paths", &target, intent).await;
        let expected = denied
            .map(|path| format!("protected-paths: {path} is protected and would change"))
            .map_or(Ok(()), Err);
        assert_eq!(judgement, expected, "{intent}");
    }
    let wrong = judged("protected-paths", &ruled("{protected-paths: /id}"), "tag x").await;
    assert!(wrong.unwrap_err().contains("must be an array of pointers"));
    assert_eq!(judged("protected-paths", TARGET, "tag x").await, Ok(()));
}

#[tokio::test]
async fn size_has_three_limits() {
    assert_eq!(judged("size", TARGET, "tag x").await, Ok(()));
    for (rules, intent, reason) in [
        ("{size: {ops: 1}}", "tag a; tag b", "2 ops, and at most 1"),
        ("{size: {bytes: 300}}", "tag a", "bytes, and at most 300"),
        (
            "{size: {levels: 5}}",
            "add [[[[[[1]]]]]] to /deep",
            "7 levels, and at most 5",
        ),
        (
            "{size: {ops: many}}",
            "tag a",
            "size.ops must be a whole number",
        ),
        ("{size: 5}", "tag a", "size must be an object"),
    ] {
        let denied = judged("size", &ruled(rules), intent).await.unwrap_err();
        assert!(denied.contains(reason), "{rules}: {denied}");
    }
}

#[tokio::test]
async fn a_flow_must_be_flow_ir() {
    assert_eq!(judged("flow", TARGET, "tag x").await, Ok(()));
    let denied = judged("flow", TARGET, "set /flow/kind to sequence").await;
    let denied = denied.unwrap_err();
    assert!(
        denied.starts_with("flow: flow is no valid flow.ir: ") && denied.contains("sequence"),
        "{denied}"
    );
}
