//! `$.commit` is untrusted: it is a decision, or an error that names the field.

use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::blueprint::Doc;

use super::*;
use crate::flow::decision::{Decision, read};
use crate::flow::error::FlowError;
use crate::flow::run_state::RunState;

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(json!(0.5)),
        "\\PC{0,8}".prop_map(Value::from),
        proptest::sample::select(vec!["patch", "pass", "deny", ""]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let names = [
            "axis", "status", "reason", "evidence", "id", "flow", "agents", "x",
        ];
        let members = vec(
            (proptest::sample::select(names.to_vec()), inner.clone()),
            0..5,
        );
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            members.prop_map(|m| m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

/// A commit in the form of the bundled committer.
fn good(committed: bool) -> Value {
    let target = Blueprint::parse(TARGET).unwrap();
    json!({
        "committed": committed,
        "new_version": target.version().as_str(),
        "new_bp_json": Value::from(target.doc()),
        "bump": "patch",
        "rationale": "r",
        "reasons": ["noop: nothing changed"],
        "verdicts_summary": [
            {"axis": "des", "status": "pass", "evidence": {"n": [1, null]}},
            if committed {
                json!({"axis": "noop", "status": "pass", "evidence": ""})
            } else {
                json!({"axis": "noop", "status": "deny", "reason": "nothing changed"})
            },
        ],
    })
}

/// The axes that have passed the target.
const JUDGED: [&str; 2] = ["des", "noop"];

/// The required fields of a commit.
const NEEDED: [&[&str]; 2] = [
    &["committed", "rationale", "verdicts_summary", "reasons"],
    &[
        "committed",
        "rationale",
        "verdicts_summary",
        "bump",
        "new_version",
        "new_bp_json",
    ],
];

fn decide(commit: Value) -> Result<Decision, FlowError> {
    let ctx = Doc::try_from(&json!({ "commit": commit })).unwrap();
    let target = Blueprint::parse(TARGET).unwrap();
    let run = RunState::new(
        &Arc::new(target.clone()),
        Doc::Null,
        Instant::now() + Duration::from_secs(60),
        None,
    );
    let judged = json!({
        "issue": null,
        "prev_bp_yaml": target.canonical_yaml(),
        "prev_hash": target.version().as_str(),
        "applied": {
            "new_bp_json": Value::from(target.doc()),
            "new_bp_yaml": target.canonical_yaml(),
            "new_hash": target.version().as_str(),
        },
    });
    let judged = Doc::try_from(&judged).unwrap();
    let passed = Doc::object([("status", Doc::from("pass"))]);
    for axis in JUDGED {
        run.note_verdict(&axis.into(), &judged, &passed);
    }
    read(&ctx, target.id(), &JUDGED.map(str::to_owned), &run)
}

fn named(error: &FlowError) -> &str {
    match error {
        FlowError::CommitShape { field, .. } => field,
        other => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_at_all_is_a_decision_or_an_error_that_names_the_field(commit in anything()) {
        if let Err(error) = decide(commit) {
            prop_assert!(named(&error).starts_with("$.commit"));
        }
    }

    #[test]
    fn one_field_that_is_not_as_it_must_be_is_named(committed in any::<bool>(), at in any::<prop::sample::Index>(), other in anything()) {
        let needed = NEEDED[usize::from(committed)];
        let field = needed[at.index(needed.len())];
        let mut commit = good(committed);
        prop_assert!(decide(commit.clone()).is_ok());
        commit[field] = other.clone();
        match decide(commit.clone()) {
            Ok(Decision::Commit { .. }) => prop_assert!(commit["committed"] == json!(true)),
            Ok(Decision::Deny { .. }) => prop_assert!(commit["committed"] == json!(false)),
            // A denial is not a commit.
            Err(error) if commit["committed"] == json!(true) && field == "committed" => {
                prop_assert_eq!(named(&error), "$.commit.verdicts_summary");
            }
            Err(error) if field == "new_bp_json" => prop_assert!(named(&error).starts_with("$.commit.new_")),
            Err(error) => prop_assert!(named(&error).starts_with(&format!("$.commit.{field}")), "{} {other}", named(&error)),
        }
        commit.as_object_mut().unwrap().remove(field);
        let missing = decide(commit).unwrap_err();
        prop_assert_eq!(named(&missing), format!("$.commit.{field}"));
    }
}

#[tokio::test]
async fn a_rationale_has_the_limit_of_a_direct_write_whoever_wrote_it() {
    const LIMIT: usize = shared::domain::commit::MAX_RATIONALE_BYTES;
    let spawner = |n: usize| {
        format!(
            "return {{ops = host.array({{{{op = 'add', path = '/x', value = 1}}}}), bump = 'patch', \
             rationale = string.rep('r', {n})}}"
        )
    };
    let whole = Bench::with_scripts(&[("patch_spawner.lua", &spawner(LIMIT))]);
    let committed = whole.run(input(TARGET, "anything")).await;
    assert!(
        matches!(&committed.decision, Ok(Decision::Commit { rationale, .. }) if rationale.len() == LIMIT)
    );
    let long = Bench::with_scripts(&[("patch_spawner.lua", &spawner(LIMIT + 1))]);
    let denied = long.run(input(TARGET, "anything")).await;
    let Ok(Decision::Deny {
        reasons, rationale, ..
    }) = denied.decision
    else {
        panic!("it is committed");
    };
    assert_eq!(
        reasons,
        ["patch: rationale must have at most 65536 bytes; it has 65537"]
    );
    assert_eq!(rationale.len(), LIMIT);

    // A custom committer.
    let committer = format!(
        "return {{committed = true, new_version = _CTX.applied.new_hash, new_bp_json = _CTX.applied.new_bp_json, \
         bump = 'patch', rationale = string.rep('r', {}), verdicts_summary = host.array()}}",
        LIMIT + 1
    );
    let own = Bench::with_scripts(&[("committer.lua", &committer)]);
    let mut issue = input(TARGET, "tag x");
    issue.verifiers.clear();
    let outcome = own.run(issue).await;
    assert_eq!(
        outcome.decision.unwrap_err().to_string(),
        "commit shape: $.commit.rationale has 65537 bytes; the limit is 65536"
    );
}
