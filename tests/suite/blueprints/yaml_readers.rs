//! Every YAML reader reads canonical YAML as the same document, and this project's reader agrees
//! with the others.
//!
//! The other readers are PyYAML and libyaml, which implement YAML 1.1, and ruamel.yaml, which
//! implements 1.2.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use serde_json::Value;
use shared::blueprint::yaml::{self, Format};
use shared::blueprint::{Doc, DocumentError, json};
use tests::programs::workspace_dir;
use tests::{python, yaml_texts};

/// The variable for a further folder of YAML and JSON files that the tests also check.
const SAMPLES: &str = "DRAFTSMAN_TEST_DOCUMENTS";

/// The results of the readers of `yaml_oracle.py` for each text; `None` without a Python.
async fn readings(texts: &[String]) -> Option<Vec<Value>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (asked, told) = (dir.path().join("texts"), dir.path().join("readings"));
    let lines: Vec<String> = texts
        .iter()
        .map(|text| Value::from(text.as_str()).to_string() + "\n")
        .collect();
    fs::write(&asked, lines.concat()).expect("a file");
    let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
    python::run_script("yaml_oracle.py", &[&path(&asked), &path(&told)]).await;
    let told = fs::read_to_string(told).ok()?;
    let all: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(all.len(), texts.len());
    Some(all)
}

/// The document that `reader` read, if it is valid.
fn read_by(reading: &Value, reader: &str) -> Option<Doc> {
    json::parse(reading[reader].as_str()?).ok()
}

/// Checks that every reader reads the canonical text of each document as that document.
async fn hold_for_every_reader(documents: &[Doc]) {
    let texts: Vec<String> = documents
        .iter()
        .map(|doc| yaml::emit(doc).expect("within the limits"))
        .collect();
    for (doc, text) in documents.iter().zip(&texts) {
        for ours in [
            yaml::read_canonical(text),
            yaml::parse_as(text, Format::Yaml).ok(),
            serde_yaml::from_str::<Value>(text)
                .ok()
                .and_then(|value| Doc::try_from(value).ok()),
        ] {
            assert!(ours.is_some_and(|ours| ours.identical(doc)), "{text:?}");
        }
    }
    let Some(readings) = readings(&texts).await else {
        return;
    };
    for ((doc, text), reading) in documents.iter().zip(&texts).zip(&readings) {
        for reader in ["pyyaml", "libyaml", "ruamel"] {
            let read = read_by(reading, reader);
            assert!(
                read.is_some_and(|read| read.identical(doc)),
                "{reader}: {text:?}\n{reading}"
            );
        }
    }
}

#[tokio::test]
async fn every_reader_reads_canonical_yaml_as_the_same_document() {
    let mut rng = Rng::with_seed(1);
    hold_for_every_reader(&yaml_texts::documents(&mut rng)).await;
}

#[tokio::test]
async fn every_reader_reads_sample_documents_as_the_same_document() {
    let mut folders = vec![
        workspace_dir().join("deploy/samples"),
        workspace_dir().join("lua"),
    ];
    folders.extend(std::env::var_os(SAMPLES).map(PathBuf::from));
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder"))
        .map(|file| file.expect("a file").path())
        .filter(|file| {
            let ending = file.extension().and_then(OsStr::to_str);
            ending.is_some_and(|ending| matches!(ending, "json" | "yaml" | "yml"))
        });
    let texts = files.map(|file| fs::read_to_string(file).expect("text"));
    let documents: Vec<Doc> = texts.filter_map(|text| yaml::parse(&text).ok()).collect();
    println!("{} documents", documents.len());
    assert!(documents.len() >= 3, "{}", documents.len());
    hold_for_every_reader(&documents).await;
}

#[tokio::test]
async fn what_the_other_readers_agree_on_is_read_as_they_read_it() {
    let mut rng = Rng::with_seed(2);
    let texts: Vec<String> = (0..3_000)
        .map(|_| yaml_texts::written_by_hand(&mut rng))
        .collect();
    let Some(readings) = readings(&texts).await else {
        return;
    };
    let (mut n_agreed, mut differ) = (0, Vec::new());
    for (text, reading) in texts.iter().zip(&readings) {
        let Some(theirs) = agreed(reading) else {
            continue;
        };
        n_agreed += 1;
        let found = match yaml::parse_as(text, Format::Yaml) {
            Ok(ours) if ours.identical(&theirs) => continue,
            Ok(ours) => json::emit(&ours),
            // Invalid in YAML 1.2, and ruamel.yaml rejects it; the others keep the last value.
            Err(DocumentError::DuplicateKey { .. }) => continue,
            Err(error) => error.to_string(),
        };
        differ.push(format!("{text:?}: {}, not {found}", json::emit(&theirs)));
    }
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
    println!(
        "the other readers agree on {n_agreed} of {} texts",
        texts.len()
    );
    assert!(n_agreed > texts.len() / 4, "{n_agreed} of {}", texts.len());
}

/// The document that libyaml and at least one other reader read, unless a third reads another one.
fn agreed(reading: &Value) -> Option<Doc> {
    let libyaml = read_by(reading, "libyaml")?;
    let others = ["pyyaml", "ruamel"].map(|reader| read_by(reading, reader));
    let mut others = others.iter().flatten().peekable();
    others.peek()?;
    others
        .all(|other| other.identical(&libyaml))
        .then_some(libyaml)
}

/// Closing brackets may have any indentation and may follow anything, and tabs may separate tokens.
#[test]
fn closing_brackets_and_tabs_are_read_wherever_they_stand() {
    for (text, expected) in [
        ("x: [\n  \"a\"\n]\n", r#"{"x":["a"]}"#),
        ("x: [\n  a\n]\n", r#"{"x":["a"]}"#),
        ("x: [\n  \"a\",\n]\n", r#"{"x":["a"]}"#),
        ("x: [\n  1,\n  [b]\n]\ny: 1\n", r#"{"x":[1,["b"]],"y":1}"#),
        ("x: {\n  \"a\": 1\n}\n", r#"{"x":{"a":1}}"#),
        ("x: {\n  a: [b]\n}\ny: 1\n", r#"{"x":{"a":["b"]},"y":1}"#),
        (
            "x:\n  y: [\n    {a: 'b'}\n  ]\n",
            r#"{"x":{"y":[{"a":"b"}]}}"#,
        ),
        ("x:\n- y: [\n  \"a\"\n]\n", r#"{"x":[{"y":["a"]}]}"#),
        ("x:\ta\n", r#"{"x":"a"}"#),
        ("x:\t\"a\"\t# note\n", r#"{"x":"a"}"#),
        ("-\ta\n- \tb\n", r#"["a","b"]"#),
        ("x:\t|\n  a\n", r#"{"x":"a\n"}"#),
        ("x: |\n  a", r#"{"x":"a"}"#),
        ("x: |+\n  a\n\n", r#"{"x":"a\n\n"}"#),
    ] {
        let ours = yaml::parse_as(text, Format::Yaml);
        let ours = ours.unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(json::emit(&ours), expected, "{text:?}");
    }
}
