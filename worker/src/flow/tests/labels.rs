//! Tests of `metadata.version_label`: which step sets it, and how invalid labels are handled.

use serde_json::json;
use shared::blueprint::yaml::{self, Format};
use shared::ids::Version;

use super::*;

/// Returns a target with this `metadata`, as a store may contain it: the label is not checked.
fn stored(metadata: &str) -> String {
    let text = format!("{{id: team, flow: {{}}, agents: [], metadata: {metadata}}}");
    yaml::emit(&yaml::parse_as(&text, Format::Yaml).unwrap()).unwrap()
}

/// An issue with a patch against a stored target.
fn patched(target: &str, patch: &serde_json::Value, axes: &[&str]) -> FlowInput {
    let prev = Blueprint::from_stored(&Version::of(target), target).unwrap();
    FlowInput {
        prev: Arc::new(prev),
        verifiers: axes.iter().map(|axis| (*axis).to_owned()).collect(),
        ..input(
            "{id: team, flow: {}, agents: []}",
            &json!({"ops": patch, "bump": "major", "rationale": "r"}).to_string(),
        )
    }
}

#[tokio::test]
async fn a_patch_that_sets_a_valid_label_is_not_bumped_on_top() {
    let bench = Bench::bundled();
    let label = |value| json!({"op": "add", "path": "/metadata/version_label", "value": value});
    let other = json!({"op": "add", "path": "/x", "value": 1});
    for (metadata, patch, expected) in [
        // Set by an operation on it, whatever the previous value.
        (
            "{version_label: 1.2.3}",
            json!([label("4.5.6-rc.1+b")]),
            "4.5.6-rc.1+b",
        ),
        (
            "{version_label: 1.2.3}",
            json!([label("1.0.0"), other]),
            "1.0.0",
        ),
        ("{}", json!([label("7.0.0")]), "7.0.0"),
        (
            "{version_label: banana}",
            json!([label("2.0.0"), other]),
            "2.0.0",
        ),
        ("{version_label: 5}", json!([label("2.0.0")]), "2.0.0"),
        // Set to its current value, beside another change.
        (
            "{version_label: 1.2.3}",
            json!([other, label("1.2.3")]),
            "1.2.3",
        ),
        // The largest version cannot be bumped, but it can be set.
        (
            "{version_label: 1.2.3}",
            json!([label("18446744073709551615.0.0")]),
            "18446744073709551615.0.0",
        ),
        // Set by other operations.
        (
            "{version_label: 1.2.3, next: 3.0.0}",
            json!([{"op": "move", "from": "/metadata/next", "path": "/metadata/version_label"}]),
            "3.0.0",
        ),
        (
            "{version_label: 1.2.3, next: 1.2.3}",
            json!([{"op": "copy", "from": "/metadata/next", "path": "/metadata/version_label"}, other]),
            "1.2.3",
        ),
        (
            "{version_label: 1.2.3}",
            json!([{"op": "replace", "path": "/metadata", "value": {"version_label": "9.0.0"}}]),
            "9.0.0",
        ),
        (
            "{version_label: 1.2.3}",
            json!([{"op": "replace", "path": "", "value": {"id": "team", "flow": {}, "agents": [], "metadata": {"version_label": "8.0.0"}}}]),
            "8.0.0",
        ),
    ] {
        let target = stored(metadata);
        let outcome = bench.run(patched(&target, &patch, &AXES)).await;
        match outcome.decision.unwrap() {
            Decision::Commit { blueprint, .. } => {
                assert_eq!(blueprint.version_label(), Some(expected), "{patch}");
            }
            Decision::Deny { reasons, .. } => panic!("{metadata} {patch}: {reasons:?}"),
        }
    }
}

#[tokio::test]
async fn a_patch_that_leaves_the_label_is_bumped() {
    let bench = Bench::bundled();
    let other = json!({"op": "add", "path": "/x", "value": 1});
    for (metadata, patch, expected) in [
        ("{version_label: 1.2.3}", json!([other]), "2.0.0"),
        ("{}", json!([other]), "1.0.0"),
        (
            "{version_label: 1.2.3}",
            json!([{"op": "test", "path": "/metadata/version_label", "value": "1.2.3"}, other]),
            "2.0.0",
        ),
        // All of the metadata is replaced, with the same label.
        (
            "{version_label: 1.2.3}",
            json!([{"op": "replace", "path": "/metadata", "value": {"version_label": "1.2.3", "tags": []}}]),
            "2.0.0",
        ),
        // Removed, it starts again.
        (
            "{version_label: 1.2.3}",
            json!([{"op": "remove", "path": "/metadata/version_label"}]),
            "1.0.0",
        ),
        (
            "{version_label: 1.2.3}",
            json!([{"op": "remove", "path": "/metadata"}]),
            "1.0.0",
        ),
        (
            "{version_label: banana}",
            json!([{"op": "remove", "path": "/metadata/version_label"}]),
            "1.0.0",
        ),
    ] {
        let target = stored(metadata);
        let outcome = bench.run(patched(&target, &patch, &AXES)).await;
        match outcome.decision.unwrap() {
            Decision::Commit { blueprint, .. } => {
                assert_eq!(blueprint.version_label(), Some(expected), "{patch}");
            }
            Decision::Deny { reasons, .. } => panic!("{metadata} {patch}: {reasons:?}"),
        }
    }
}

#[tokio::test]
async fn a_patch_that_sets_an_invalid_label_is_denied_by_des_whatever_the_axes() {
    let bench = Bench::bundled();
    let label = |value| json!({"op": "add", "path": "/metadata/version_label", "value": value});
    let other = json!({"op": "add", "path": "/x", "value": 1});
    for (metadata, patch, part) in [
        (
            "{version_label: 1.2.3}",
            json!([label(json!("v-one"))]),
            "\"v-one\" is an invalid semver",
        ),
        (
            "{}",
            json!([label(json!("")), other]),
            "\"\" is an invalid semver",
        ),
        (
            "{version_label: banana}",
            json!([label(json!("banana")), other]),
            "\"banana\" is an invalid semver",
        ),
        (
            "{version_label: banana}",
            json!([label(json!("apple"))]),
            "\"apple\" is an invalid semver",
        ),
        (
            "{version_label: 1.2.3}",
            json!([label(json!(5))]),
            "must be a string that is a semantic version such as 1.0.0, not a number",
        ),
        (
            "{version_label: 1.2.3}",
            json!([label(json!(null)), other]),
            "must be a string that is a semantic version such as 1.0.0, not null",
        ),
        (
            "{version_label: 1.2.3}",
            json!([label(json!({}))]),
            "must be a string that is a semantic version",
        ),
        (
            "{version_label: 1.2.3}",
            json!([{"op": "replace", "path": "/metadata", "value": {"version_label": "v1"}}]),
            "\"v1\" is an invalid semver",
        ),
    ] {
        let target = stored(metadata);
        for axes in [&AXES[..], &["noop"], &[]] {
            let outcome = bench.run(patched(&target, &patch, axes)).await;
            let Decision::Deny {
                reasons, verdicts, ..
            } = outcome.decision.unwrap()
            else {
                panic!("{metadata} {patch}: committed");
            };
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            assert!(
                reasons[0].starts_with("des: /metadata/version_label: "),
                "{reasons:?}"
            );
            assert!(reasons[0].contains(part), "{reasons:?}");
            assert!(
                matches!(&verdicts[..], [verdict] if verdict.axis == "des" && !verdict.is_pass()),
                "{verdicts:?}"
            );
        }
    }
    // Set to an invalid label by a sentence.
    let reasons = bench
        .deny(TARGET, "set /metadata/version_label to \"v-one\"")
        .await;
    assert!(
        reasons[0].starts_with("des: /metadata/version_label: "),
        "{reasons:?}"
    );
    let reasons = bench.deny(TARGET, "set /metadata/version_label to 5").await;
    assert!(reasons[0].starts_with("des: "), "{reasons:?}");
    let set = bench
        .commit(
            TARGET,
            "set /metadata/version_label to \"2.0.0-rc.1\"; tag x",
        )
        .await;
    assert_eq!(set.version_label(), Some("2.0.0-rc.1"));
}

#[tokio::test]
async fn a_label_that_was_invalid_before_fails_and_says_how_to_mend_it() {
    let bench = Bench::bundled();
    let other = json!([{"op": "add", "path": "/x", "value": 1}]);
    for (metadata, part) in [
        ("{version_label: banana}", "\"banana\" is an invalid semver"),
        ("{version_label: 5}", "invalid semver"),
        (
            "{version_label: 18446744073709551615.0.0}",
            "is at its maximum",
        ),
    ] {
        let target = stored(metadata);
        let outcome = bench.run(patched(&target, &other, &AXES)).await;
        let text = outcome.decision.unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
        assert!(
            text.contains("set /metadata/version_label to \"1.0.0\""),
            "{text}"
        );
    }
}

#[tokio::test]
async fn des_judges_the_label_of_any_orbit() {
    // A custom applier that accepts the label of the patch.
    let bench = Bench::with_scripts(&[(
        "patch_applier.lua",
        "local before = host.yaml_to_json(_CTX.prev_bp_yaml)
         local after = host.json_patch(before, _CTX.patch.ops)
         return {prev_hash = _CTX.prev_hash, patch = _CTX.patch, new_bp_yaml = host.canonical_yaml(after),
                 new_bp_json = after, new_hash = host.content_hash(after), epoch_id = _CTX.epoch_id}",
    )]);
    for (value, part) in [("\"v1\"", "\"v1\" is an invalid semver"), ("7", "a number")] {
        let reasons = bench
            .deny(TARGET, &format!("set /metadata/version_label to {value}"))
            .await;
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(
            reasons[0].starts_with("des: ") && reasons[0].contains(part),
            "{reasons:?}"
        );
    }
}
