use prost_types::value::Kind;
use prost_types::{Struct, Value};
use shared::blueprint::{Doc, Num};
use shared::domain::enhance_log::{LogEntry, SpawnerUsage, Verdict, VerdictStatus};
use shared::domain::issue::{IssueState, MAX_INTENT_BYTES, RejectionCause};
use shared::store::ExpectedHead;

use super::*;
use crate::blueprints::convert::expected_head;
use crate::convert::documents::{MAX_EXACT, MAX_LEVELS, struct_to_doc};
use crate::issues::convert::{cause_filter, new_issue, state_filter};
use crate::log::convert::entry_to_wire;
use crate::settings::convert::setting_to_wire;
use crate::settings::read_setting::setting;

fn fields(error: RequestError) -> Vec<String> {
    match error {
        RequestError::Invalid(violations) => violations.into_iter().map(|v| v.field).collect(),
        other => panic!("{other:?}"),
    }
}

fn submission(blueprint_id: &str, intent: &str, issue_id: Option<&str>) -> v1::SubmitIssueRequest {
    v1::SubmitIssueRequest {
        blueprint_id: blueprint_id.into(),
        intent: intent.into(),
        issue_id: issue_id.map(Into::into),
        ..Default::default()
    }
}

fn number(number: f64) -> Value {
    Value {
        kind: Some(Kind::NumberValue(number)),
    }
}

fn object(members: impl IntoIterator<Item = (&'static str, Value)>) -> Struct {
    Struct {
        fields: members
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    }
}

fn good_setting() -> v1::EnhanceSetting {
    v1::EnhanceSetting {
        id: "s".into(),
        blueprint_id: "orbit".into(),
        verifier_axes: vec!["des".into()],
        ttl_secs: 300,
        ..Default::default()
    }
}

#[test]
fn a_submission_names_every_wrong_field() {
    let error = new_issue(submission("a b", "", Some("-"))).unwrap_err();
    assert_eq!(fields(error), ["blueprint_id", "intent", "issue_id"]);
    assert_eq!(
        fields(new_issue(submission("b", "x", Some(""))).unwrap_err()),
        ["issue_id"]
    );
    let long = "x".repeat(MAX_INTENT_BYTES + 1);
    assert_eq!(
        fields(new_issue(submission("b", &long, None)).unwrap_err()),
        ["intent"]
    );
    assert!(new_issue(submission("b", &long[1..], None)).is_ok());
    assert_eq!(
        fields(new_issue(submission(&"b".repeat(129), "x", None)).unwrap_err()),
        ["blueprint_id"]
    );
}

#[test]
fn an_id_is_made_only_if_none_is_given() {
    let (issue, generated) = new_issue(submission("b", "x", None)).unwrap();
    assert!(generated);
    assert_eq!(
        issue.issue_id().as_str().as_bytes()[14],
        b'7',
        "UUIDv7: {}",
        issue.issue_id()
    );
    let (issue, generated) = new_issue(submission("b", "x", Some("mine"))).unwrap();
    assert!(!generated);
    assert_eq!(issue.issue_id().as_str(), "mine");
}

#[test]
fn filters_take_zero_for_any_and_refuse_unknown_numbers() {
    assert_eq!(state_filter(None).unwrap(), None);
    assert_eq!(state_filter(Some(0)).unwrap(), None);
    assert_eq!(state_filter(Some(2)).unwrap(), Some(IssueState::InFlight));
    assert_eq!(fields(state_filter(Some(9)).unwrap_err()), ["state"]);
    assert_eq!(
        cause_filter(Some(3)).unwrap(),
        Some(RejectionCause::Cancelled)
    );
    assert_eq!(fields(cause_filter(Some(-1)).unwrap_err()), ["cause"]);
    assert_eq!(blueprint_filter(Some("")).unwrap(), None);
    assert_eq!(
        fields(blueprint_filter(Some("/")).unwrap_err()),
        ["blueprint_id"]
    );
}

#[test]
fn expected_heads() {
    assert!(matches!(expected_head(None), Ok(ExpectedHead::Any)));
    assert!(matches!(expected_head(Some("")), Ok(ExpectedHead::Absent)));
    assert!(matches!(
        expected_head(Some(&"a".repeat(64))),
        Ok(ExpectedHead::At(_))
    ));
    assert!(expected_head(Some("HEAD")).is_err());
}

#[test]
fn selectors() {
    use v1::version_selector::Selector;
    let parse = |choice| selector("selector", Some(&v1::VersionSelector { selector: choice }));
    assert_eq!(selector("selector", None).unwrap(), VersionSelector::Latest);
    assert_eq!(parse(None).unwrap(), VersionSelector::Latest);
    assert_eq!(
        parse(Some(Selector::Latest(true))).unwrap(),
        VersionSelector::Latest
    );
    assert!(matches!(
        parse(Some(Selector::SemverReq("^1.2".into()))),
        Ok(VersionSelector::SemverReq(_))
    ));
    assert!(matches!(
        parse(Some(Selector::Fixed("0".repeat(64)))),
        Ok(VersionSelector::Fixed(_))
    ));
    let wrong = [
        (Selector::Latest(false), "selector.latest"),
        (Selector::Fixed("1.0.0".into()), "selector.fixed"),
        (Selector::SemverReq("newest".into()), "selector.semver_req"),
    ];
    for (choice, field) in wrong {
        assert_eq!(fields(parse(Some(choice)).unwrap_err()), [field]);
    }
}

#[test]
fn a_setting_names_every_wrong_field() {
    assert_eq!(fields(setting(None).unwrap_err()), ["setting"]);
    let given = v1::EnhanceSetting {
        selector: Some(v1::VersionSelector {
            selector: Some(v1::version_selector::Selector::SemverReq("?".into())),
        }),
        verifier_axes: vec!["des".into(), String::new()],
        spawner: Some(object([("n", number(f64::NAN))])),
        ..Default::default()
    };
    assert_eq!(
        fields(setting(Some(given)).unwrap_err()),
        [
            "setting.id",
            "setting.blueprint_id",
            "setting.selector.semver_req",
            "setting.verifier_axes",
            "setting.ttl_secs",
            "setting.spawner"
        ]
    );
    let twice = v1::EnhanceSetting {
        verifier_axes: vec!["des".into(), "noop".into(), "des".into()],
        applies_to: vec!["a*".into(), "b".into(), "a*".into()],
        ..good_setting()
    };
    let field_names = ["setting.verifier_axes", "setting.applies_to"];
    assert_eq!(fields(setting(Some(twice)).unwrap_err()), field_names);
    let too_many = v1::EnhanceSetting {
        verifier_axes: (0..65).map(|n| format!("axis-{n}")).collect(),
        applies_to: (0..65).map(|n| format!("b{n}")).collect(),
        ..good_setting()
    };
    assert_eq!(fields(setting(Some(too_many)).unwrap_err()), field_names);
    let no_pattern = v1::EnhanceSetting {
        applies_to: vec!["team/*".into()],
        ..good_setting()
    };
    assert_eq!(
        fields(setting(Some(no_pattern)).unwrap_err()),
        field_names[1..]
    );
    let forever = v1::EnhanceSetting {
        ttl_secs: u64::MAX,
        ..good_setting()
    };
    assert_eq!(
        fields(setting(Some(forever)).unwrap_err()),
        ["setting.ttl_secs"]
    );
}

#[test]
fn a_setting_comes_back_as_it_went_in() {
    let list = prost_types::ListValue {
        values: vec![
            Value {
                kind: Some(Kind::NullValue(0)),
            },
            number(0.5),
        ],
    };
    let spawner = object([
        (
            "name",
            Value {
                kind: Some(Kind::StringValue("x".into())),
            },
        ),
        (
            "list",
            Value {
                kind: Some(Kind::ListValue(list)),
            },
        ),
        ("max", number(MAX_EXACT)),
        (
            "empty",
            Value {
                kind: Some(Kind::StructValue(Struct::default())),
            },
        ),
    ]);
    let given = v1::EnhanceSetting {
        applies_to: vec!["team.*".into(), "a?".into()],
        spawner: Some(spawner),
        selector: Some(v1::VersionSelector {
            selector: Some(v1::version_selector::Selector::Latest(true)),
        }),
        review_ttl_secs: Some(3_600),
        allow_self_review: true,
        ..good_setting()
    };
    let kept = setting(Some(given.clone())).unwrap();
    let doc = kept.spawner.as_ref().unwrap();
    assert_eq!(doc.get("max"), Some(&Doc::from(1_i64 << 53)));
    assert_eq!(
        doc.get("list").unwrap().as_array().unwrap()[1],
        Doc::Num(Num::Float(0.5))
    );
    assert_eq!(setting_to_wire(kept), given);
}

#[test]
fn integers_that_a_double_cannot_hold_are_refused() {
    for (given, good) in [
        (MAX_EXACT, true),
        (-MAX_EXACT, true),
        (MAX_EXACT * 2.0, false),
        (1e300, false),
        (-0.0, true),
    ] {
        let given = v1::EnhanceSetting {
            spawner: Some(object([("n", number(given))])),
            ..good_setting()
        };
        assert_eq!(setting(Some(given.clone())).is_ok(), good, "{given:?}");
    }
}

#[test]
fn a_spawner_has_a_depth() {
    let nested = |levels: usize| {
        (1..levels).fold(Struct::default(), |inner, _| {
            object([(
                "k",
                Value {
                    kind: Some(Kind::StructValue(inner)),
                },
            )])
        })
    };
    assert!(struct_to_doc(nested(MAX_LEVELS)).is_ok());
    assert!(struct_to_doc(nested(MAX_LEVELS + 1)).is_err());
}

#[test]
fn log_entries_say_their_status_in_words() {
    let entry = LogEntry {
        issue_id: IssueId::parse("i").unwrap(),
        blueprint_id: BlueprintId::parse("b").unwrap(),
        prev_hash: None,
        new_hash: None,
        intent: "x".into(),
        rationale: String::new(),
        verdicts: vec![Verdict {
            axis: "noop".into(),
            status: VerdictStatus::Deny,
            detail: "unchanged".into(),
        }],
        cause: Some(RejectionCause::Denied),
        reasons: vec!["noop: unchanged".into()],
        attempt: 1,
        patch_json: "[]".into(),
        ts_ms: 1_700_000_000_123,
        usage: SpawnerUsage::default(),
        unusable_reply: "Sorry.".to_owned(),
        submitted_by: None,
        decided_by: None,
        comment: String::new(),
    };
    let wire = entry_to_wire(entry.clone());
    assert_eq!(
        (wire.status.as_str(), wire.cause.as_str()),
        ("rejected", "denied")
    );
    assert_eq!(wire.verdicts[0].status, "deny");
    assert_eq!(wire.ts_ms, 1_700_000_000_123);
    let applied = entry_to_wire(LogEntry {
        cause: None,
        ..entry
    });
    assert_eq!(
        (applied.status.as_str(), applied.cause.as_str()),
        ("applied", "")
    );
}

#[test]
fn timestamps_keep_milliseconds() {
    assert_eq!(
        timestamp(1_700_000_000_123),
        Timestamp {
            seconds: 1_700_000_000,
            nanos: 123_000_000
        }
    );
}
