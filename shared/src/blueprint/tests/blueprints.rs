//! Validity of Blueprints.

use crate::blueprint::blueprint::Blueprint;
use crate::blueprint::error::DocumentError;
use crate::blueprint::yaml;
use crate::ids::Version;

fn field_of(text: &str) -> (String, String) {
    let error = Blueprint::parse(text).unwrap_err();
    (error.field().to_owned(), error.to_string())
}

const GOOD: &str = "id: b\nflow: {}\nagents: []\n";

#[test]
fn the_required_fields_and_nothing_more() {
    let blueprint = Blueprint::parse(GOOD).unwrap();
    assert_eq!(blueprint.id().as_str(), "b");
    assert_eq!(blueprint.version_label(), None);
    assert_eq!(
        &**blueprint.canonical_yaml(),
        "agents: []\nflow: {}\nid: b\n"
    );
    assert_eq!(
        *blueprint.version(),
        Version::of(blueprint.canonical_yaml())
    );
    assert_eq!(
        Blueprint::parse(&format!("{GOOD}metadata: 7\n"))
            .unwrap()
            .version_label(),
        None
    );
    let labelled = Blueprint::parse(&format!(
        "{GOOD}metadata: {{version_label: 1.2.3-rc.1+b}}\n"
    ))
    .unwrap();
    assert_eq!(labelled.version_label(), Some("1.2.3-rc.1+b"));
}

#[test]
fn each_wrong_field_is_named() {
    for (text, field) in [
        ("[]", "document"),
        ("null", "document"),
        ("flow: {}\nagents: []\n", "id"),
        ("id: 7\nflow: {}\nagents: []\n", "id"),
        ("id: ''\nflow: {}\nagents: []\n", "id"),
        ("id: a b\nflow: {}\nagents: []\n", "id"),
        ("id: b\nagents: []\n", "flow"),
        ("id: b\nflow: []\nagents: []\n", "flow"),
        ("id: b\nflow: null\nagents: []\n", "flow"),
        ("id: b\nflow: {}\n", "agents"),
        ("id: b\nflow: {}\nagents: {}\n", "agents"),
        ("id: b\nflow: {}\nagents: [{name: a}, 7]\n", "agents[1]"),
        (
            "id: b\nflow: {}\nagents: [{name: a}, {}]\n",
            "agents[1].name",
        ),
        ("id: b\nflow: {}\nagents: [{name: 7}]\n", "agents[0].name"),
        ("id: b\nflow: {}\nagents: [{name: ''}]\n", "agents[0].name"),
        (
            "id: b\nflow: {}\nagents: [{name: a}, {name: c}, {name: a}]\n",
            "agents[2].name",
        ),
        (
            "id: b\nflow: {}\nagents: []\nmetadata: {version_label: v1}\n",
            "metadata.version_label",
        ),
        (
            "id: b\nflow: {}\nagents: []\nmetadata: {version_label: 1}\n",
            "metadata.version_label",
        ),
        (
            "id: b\nflow: {}\nagents: []\nmetadata: {version_label: null}\n",
            "metadata.version_label",
        ),
    ] {
        let (found, message) = field_of(text);
        assert_eq!(found, field, "{text}: {message}");
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn what_is_stored_is_checked_against_its_version() {
    let blueprint = Blueprint::parse(GOOD).unwrap();
    let back = Blueprint::from_stored(blueprint.version(), blueprint.canonical_yaml()).unwrap();
    assert_eq!(back, blueprint);
    let damaged = blueprint.canonical_yaml().replace("id: b", "id: c");
    match Blueprint::from_stored(blueprint.version(), &damaged) {
        Err(DocumentError::HashMismatch { declared, computed }) => {
            assert_eq!(declared, *blueprint.version());
            assert_eq!(computed, Version::of(&damaged));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stored_label_may_be_older_than_the_rule() {
    let old = "agents: []\nflow: {}\nid: b\nmetadata:\n  version_label: first\n";
    let stored = Blueprint::from_stored(&Version::of(old), old).unwrap();
    assert_eq!(stored.version_label(), Some("first"));
    assert!(Blueprint::parse(old).is_err());
}

#[test]
fn unknown_keys_and_their_kinds_survive() {
    let text = "id: b\nflow: {}\nagents: []\nx: {e: [], m: {}, n: null, big: 1152921504606846977, f: 1.0}\n";
    let blueprint = Blueprint::parse(text).unwrap();
    let again = Blueprint::parse(blueprint.canonical_yaml()).unwrap();
    assert!(again.doc().identical(blueprint.doc()));
    assert!(yaml::parse(text).unwrap().identical(again.doc()));
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let (field, message) = field_of("name: x\nmodel: m\n");
    assert_eq!(field, "id");
    for words in [
        "field id: is missing; it must be a string",
        "field flow: is missing; it must be an object",
        "field agents: is missing; it must be an array of objects",
        "a Blueprint is an object with id",
        "docs/documents.md",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    let (_, message) = field_of(
        "id: b\nflow: {}\nagents: [{name: a}, {}, 7, {name: a}]\nmetadata: {version_label: x}\n",
    );
    for words in [
        "agents[1].name",
        "agents[2]",
        "agents[3].name",
        "metadata.version_label",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(!message.contains("a Blueprint is"), "{message}");
    let many = format!("id: b\nflow: {{}}\nagents:\n{}", "- {}\n".repeat(1_000));
    assert!(field_of(&many).1.len() < 2_000);
}

#[test]
fn an_agent_that_is_a_reference_to_a_file_is_explained() {
    let (field, message) =
        field_of("id: b\nflow: {}\nagents: [{name: a}, {$agent_md: agents/b.md}]\n");
    assert_eq!(field, "agents[1]");
    assert!(
        message.contains("$agent_md") && message.contains("build step"),
        "{message}"
    );
}

/// The example in the documentation is a valid Blueprint.
#[test]
fn the_example_in_the_documentation_is_a_blueprint() {
    let page = include_str!("../../../../docs/documents.md");
    let example = page
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let blueprint = Blueprint::parse(example.unwrap()).unwrap();
    assert_eq!(blueprint.agents().len(), 1);
}
