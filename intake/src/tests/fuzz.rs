//! Tests that untrusted input is either converted unchanged or refused with the field named.

use proptest::collection::vec;
use proptest::prelude::*;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use proto::v1;
use proto::v1::version_selector::Selector;

use crate::convert;
use crate::error::request_error::RequestError;
use crate::settings::convert::setting_to_wire;
use crate::settings::read_setting;

fn fields(error: RequestError) -> Vec<String> {
    match error {
        RequestError::Invalid(violations) => violations.into_iter().map(|v| v.field).collect(),
        other => panic!("{other:?}"),
    }
}

fn selector() -> impl Strategy<Value = Option<v1::VersionSelector>> {
    let requirement = prop_oneof![
        "\\PC{0,40}",
        "[<>=^~*]{0,2} ?[0-9x*]{1,3}(\\.[0-9x*]{1,20}){0,3}(-[a-z0-9.]{0,4})?(, ?[<>=]{1,2}[0-9]{1,3})?",
    ];
    let choice = prop_oneof![
        any::<bool>().prop_map(Selector::Latest),
        "[0-9a-fA-F]{62,66}".prop_map(Selector::Fixed),
        requirement.prop_map(Selector::SemverReq),
    ];
    let selector =
        proptest::option::of(choice).prop_map(|selector| v1::VersionSelector { selector });
    proptest::option::of(selector)
}

/// Generates any number that a Struct can hold.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<i32>().prop_map(f64::from),
        proptest::sample::select(vec![
            f64::NAN,
            f64::INFINITY,
            -0.0,
            9_007_199_254_740_993.0,
            1e300
        ]),
    ]
}

fn structure() -> impl Strategy<Value = Struct> {
    let leaf = prop_oneof![
        Just(None),
        Just(Some(Kind::NullValue(0))),
        any::<bool>().prop_map(|b| Some(Kind::BoolValue(b))),
        "\\PC{0,10}".prop_map(|text| Some(Kind::StringValue(text))),
        number().prop_map(|n| Some(Kind::NumberValue(n))),
    ];
    let leaf = leaf.prop_map(|kind| Value { kind });
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        let list =
            vec(inner.clone(), 0..4).prop_map(|values| Kind::ListValue(ListValue { values }));
        let object = vec(("\\PC{0,6}", inner), 0..4).prop_map(|members| {
            Kind::StructValue(Struct {
                fields: members.into_iter().collect(),
            })
        });
        prop_oneof![list, object].prop_map(|kind| Value { kind: Some(kind) })
    });
    vec(("\\PC{0,6}", value), 0..4).prop_map(|members| Struct {
        fields: members.into_iter().collect(),
    })
}

fn setting() -> impl Strategy<Value = v1::EnhanceSetting> {
    let id = || prop_oneof![3 => "[A-Za-z0-9]{1,8}", 1 => "\\PC{0,12}"];
    let patterns = vec(prop_oneof![3 => "[a-z0-9*?]{1,8}", 1 => "\\PC{0,12}"], 0..4);
    let axes = vec(prop_oneof![3 => "[a-z-]{1,6}", 1 => "\\PC{0,8}"], 0..4);
    let ttl = prop_oneof![3 => 1..1_000_u64, 1 => any::<u64>()];
    let spawner = proptest::option::of(structure());
    let options = proptest::option::weighted(0.2, structure());
    (
        id(),
        id(),
        selector(),
        axes,
        ttl,
        spawner,
        patterns,
        options,
    )
        .prop_map(
            |(
                id,
                blueprint_id,
                selector,
                verifier_axes,
                ttl_secs,
                spawner,
                applies_to,
                axis_options,
            )| {
                v1::EnhanceSetting {
                    id,
                    blueprint_id,
                    selector,
                    no_verification: verifier_axes.is_empty(),
                    verifier_axes,
                    ttl_secs,
                    spawner,
                    applies_to,
                    axis_options,
                    revision: 0,
                    ..Default::default()
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_selector_is_kept_or_refused_by_its_field(given in selector()) {
        match convert::selector("selector", given.as_ref()) {
            Ok(kept) => prop_assert_eq!(convert::selector("selector", given.as_ref()).unwrap(), kept),
            Err(error) => prop_assert!(fields(error).iter().all(|field| field.starts_with("selector."))),
        }
    }

    #[test]
    fn a_setting_comes_back_as_it_was_taken_or_is_refused_by_its_fields(given in setting()) {
        match read_setting::setting(Some(given)) {
            Ok(kept) => {
                let wire = setting_to_wire(kept.clone());
                let again = read_setting::setting(Some(wire.clone())).unwrap();
                prop_assert_eq!(&again, &kept);
                prop_assert_eq!(setting_to_wire(again), wire);
            }
            Err(error) => {
                let named = fields(error);
                prop_assert!(!named.is_empty());
                prop_assert!(named.iter().all(|field| field.starts_with("setting.")), "{named:?}");
            }
        }
    }
}
