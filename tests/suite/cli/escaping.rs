//! Text that other people write never reaches a terminal raw, whichever verb prints it.
//!
//! Each field that others write gets hostile text; then every verb runs, as a program and on a
//! terminal, as text and as JSON.

use proto::v1;
use shared::blueprint::Doc;
use tests::factory;
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;
use tests::rng::SeededRng;
use tests::screen::run_on_terminal;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

/// What a terminal obeys, or hides, or shows in another order.
const HOSTILE: [&str; 12] = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]8;;http://example.org\x1b\\",
    "\u{9b}31m",
    "\u{9d}52;c;aGk=\u{9c}",
    "\u{202e}",
    "\u{2066}",
    "\u{200f}",
    "\r",
    "\x08\x08",
    "\x7f",
    "\u{feff}\u{200b}\u{2028}",
];

/// The colours of `draftsman` itself.
const COLOURS: [&str; 7] = ["0", "1", "2", "31", "32", "33", "36"];

/// Text with words and hostile sequences in a random order.
fn hostile(rng: &mut SeededRng, is_actor: bool) -> String {
    let mut text = String::from("tag ");
    for _ in 0..6 {
        let piece = HOSTILE[rng.roll(HOSTILE.len())];
        // An actor has no control characters.
        if !is_actor || !piece.chars().any(char::is_control) {
            text.push_str(piece);
        }
        text.push_str(["a", "bc", " d", "漢"][rng.roll(4)]);
    }
    text
}

/// The first character of `text` that must not be printed.
fn unsafe_char(text: &str) -> Option<char> {
    let mut text = text.to_owned();
    for colour in COLOURS {
        text = text.replace(&format!("\x1b[{colour}m"), "");
    }
    text.chars().find(|c| {
        let is_control = c.is_control() && !matches!(c, '\n' | '\t');
        let is_bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}');
        let is_hidden = matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
        is_control || is_bidi || is_hidden
    })
}

fn by<T>(actor: &str, message: T) -> Request<T> {
    let mut encoded = String::new();
    for byte in actor.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    let mut request = Request::new(message);
    let value = MetadataValue::<Ascii>::try_from(encoded).expect("a header");
    request.metadata_mut().insert("draftsman-actor", value);
    request
}

/// A verifier that denies with a hostile reason, unless the description has the word `fine`.
fn verifiers(reason: &str) -> tempfile::TempDir {
    let scripts = tempfile::tempdir().expect("a temporary directory");
    let dir = scripts.path().join("verifiers");
    std::fs::create_dir(&dir).expect("a directory");
    let bytes: String = reason.bytes().map(|byte| format!("\\{byte:03}")).collect();
    let script = format!("return {{ status = 'deny', reason = \"{bytes}\" }}");
    std::fs::write(dir.join("hostile.lua"), script).expect("a script");
    scripts
}

/// A rig in which every field that others write is hostile.
async fn hostile_rig(rng: &mut SeededRng) -> (Rig, tempfile::TempDir) {
    let mut rig = Rig::start().await;
    let mut text = || hostile(rng, false);
    let (rationale, reason, message, intent) = (text(), text(), text(), text());
    let (description, denied, options) = (text(), text(), text());
    let actor = hostile(rng, true);
    let mut blueprints = rig.client.blueprints.clone();
    for mark in ["one", "two"] {
        // Neither YAML nor JSON takes all of these characters as they are.
        let units = format!("{description} {mark}");
        let units = units.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
        let quoted = format!("\"{}\"", units.collect::<String>());
        let put = v1::PutBlueprintRequest {
            document: factory::small("swarm").replace("sample swarm", &quoted),
            rationale: Some(rationale.clone()),
            ..Default::default()
        };
        let put = blueprints.put_blueprint(by(&actor, put)).await;
        let version = put
            .expect("a commit")
            .into_inner()
            .commit
            .expect("a commit")
            .version;
        let moved = v1::SetChannelRequest {
            blueprint_id: "swarm".to_owned(),
            channel: "live".to_owned(),
            version: version.clone(),
            reason: Some(reason.clone()),
            ..Default::default()
        };
        blueprints
            .set_channel(by(&actor, moved))
            .await
            .expect("a move");
        let report = v1::ReportVersionRequest {
            consumer_id: "consumer".to_owned(),
            blueprint_id: "swarm".to_owned(),
            channel: "live".to_owned(),
            version,
            status: v1::ConsumerStatus::Failed.into(),
            message: message.clone(),
        };
        blueprints
            .report_version(by(&actor, report))
            .await
            .expect("a report");
    }
    let scripts = verifiers(&denied);
    rig.workers.clear();
    let dir = scripts.path().to_str().expect("a plain path").to_owned();
    rig.add_worker(&[("DRAFTSMAN_LUA_DIR", &dir)]);
    rig.until_registered(1).await;
    rig.write_setting(|setting| {
        setting.verifier_axes.push("hostile".to_owned());
        let options = Doc::object([("note", Doc::Str(options.into()))]);
        setting.axis_options.insert("hostile".into(), options);
    })
    .await;
    for id in ["denied", "odd"] {
        let intent = match id {
            "denied" => format!("tag {}", "word"),
            _ => intent.clone(),
        };
        let issue = v1::SubmitIssueRequest {
            blueprint_id: "swarm".to_owned(),
            intent,
            issue_id: Some(id.to_owned()),
            ..Default::default()
        };
        let submitted = rig
            .client
            .intake
            .clone()
            .submit_issue(by(&actor, issue))
            .await;
        submitted.expect("an issue");
        rig.client.decided(id).await;
    }
    (rig, scripts)
}

#[tokio::test]
async fn no_verb_prints_raw_text_of_others() {
    let mut rng = SeededRng::new(20_261_128);
    let (rig, _scripts) = hostile_rig(&mut rng).await;
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str()), ("TERM", "xterm")];
    let odd = hostile(&mut rng, false);
    let verbs: [&[&str]; 33] = [
        &["issues"],
        &["issues", "odd"],
        &["issues", "denied"],
        &["log"],
        &["log", "denied"],
        &["log", "odd"],
        &["watch", "denied"],
        &["retry", "odd", "--detach", "--new-issue-id", "again"],
        &["submit", "swarm", &odd],
        &["submit", "swarm", &odd, "--unchecked"],
        &["submit", "swarm", "tag word"],
        &["preview", "swarm", &odd],
        &["preview", "swarm", "tag word"],
        &["cancel", "denied"],
        &["get"],
        &["get", "swarm"],
        &["history", "swarm"],
        &["diff", "swarm"],
        &["diff", "swarm", "--patch"],
        &["revert", "swarm", "1"],
        &["channels"],
        &["channels", "--moves"],
        &["rollback", "swarm", "live"],
        &["consumers"],
        &["setting", "list"],
        &["setting", "get", "default"],
        &["get", &odd],
        &["issues", &odd],
        &["stats"],
        &["top", "--once"],
        &["doctor"],
        &["fork", "swarm", &odd],
        &["setting", "get", &odd],
    ];
    for verb in verbs {
        for format in [&[][..], &["--output", "json"]] {
            let args: Vec<&str> = [verb, format].concat();
            let piped: Finished = run(Program::Draftsman, &args, &env).await;
            let is_document = matches!(verb, ["get", "swarm"] | ["setting", "get", _]);
            for (what, text) in [("stdout", &piped.stdout), ("stderr", &piped.stderr)] {
                // Documents are exact for a program. Their own form has escapes for most of these.
                if !(is_document && what == "stdout") {
                    let found = unsafe_char(text);
                    assert_eq!(found, None, "{args:?}, {what}: {text:?}");
                }
            }
            let shown = run_on_terminal(Program::Draftsman, &args, &env, 80)
                .await
                .stdout;
            let shown = without_spinner(&shown);
            assert_eq!(unsafe_char(&shown), None, "{args:?}, terminal: {shown:?}");
            assert!(!shown.contains("panicked"), "{args:?}: {shown}");
        }
    }
}

/// Removes the lines of the spinner, which moves the cursor and is cleared.
fn without_spinner(shown: &str) -> String {
    let mut text = shown.replace("\x1b[2K", "").replace('\r', "");
    for moves in ["\x1b[1A", "\x1b[1B", "\x1b[?25l", "\x1b[?25h"] {
        text = text.replace(moves, "");
    }
    text
}
