//! Tables on a terminal and behind a pipe, and the short forms of ids that they show.

use tests::factory;
use tests::programs::{Finished, Program, command, run};
use tests::rig::Rig;
use tests::screen::{run_on_terminal, run_until, screen};

const INTENT: &str = "tag the swarm with a word that is so long that no terminal of eighty columns \
                      shows all of it, which is why it is cut";

async fn piped(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

/// Runs a verb on a terminal that shows colours.
async fn shown(rig: &Rig, args: &[&str], columns: u16, env: &[(&str, &str)]) -> String {
    let addr = format!("http://{}", rig.address);
    let env: Vec<_> = [("DRAFTSMAN_ADDR", addr.as_str()), ("TERM", "xterm")]
        .into_iter()
        .filter(|(name, _)| env.iter().all(|(given, _)| given != name))
        .chain(env.iter().copied())
        .collect();
    let finished = run_on_terminal(Program::Draftsman, args, &env, columns).await;
    assert_eq!(finished.code, Some(0), "{args:?}: {finished:?}");
    finished.stdout
}

/// Removes the colours of this program.
fn plain(text: &str) -> String {
    let mut plain = text.to_owned();
    for code in ["0", "1", "2", "31", "32", "33", "36"] {
        plain = plain.replace(&format!("\x1b[{code}m"), "");
    }
    plain
}

/// A rig with a Blueprint, and with issues of every outcome under ids of the server.
async fn filled() -> (Rig, Vec<String>) {
    let rig = Rig::start().await;
    rig.client.put(factory::small("support-swarm")).await;
    let mut ids = Vec::new();
    for intent in ["tag one", INTENT, "nobody understands this", "tag two"] {
        ids.push(rig.client.run("support-swarm", intent).await.issue_id);
    }
    (rig, ids)
}

#[tokio::test]
async fn a_table_fits_the_terminal_and_a_program_gets_it_whole() {
    let (rig, ids) = filled().await;
    for args in [
        &["issues"][..],
        &["log"],
        &["history", "support-swarm"],
        &["get"],
        &["setting", "list"],
        &["stats"],
        &["channels"],
    ] {
        for columns in [80, 100, 120] {
            let text = plain(&shown(&rig, args, columns, &[]).await);
            for line in text.lines() {
                let width = line.chars().count();
                assert!(width <= columns.into(), "{args:?} at {columns}: {line:?}");
            }
        }
    }

    // A heading, and one line for each issue, which is cut.
    let text = plain(&shown(&rig, &["issues"], 80, &[]).await);
    assert_eq!(text.lines().count(), 1 + ids.len(), "{text}");
    let cut = text.lines().find(|line| line.contains("tag the swarm"));
    let cut = cut.unwrap_or_else(|| panic!("{text}"));
    assert!(cut.contains('…') && cut.contains("ago"), "{cut}");
    assert!(!text.contains(&ids[0]), "ids are short: {text}");

    // Behind a pipe every field is whole: ids, times and texts.
    let piped = piped(&rig, &["issues"]).await.stdout;
    let rows: Vec<Vec<&str>> = piped
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let listed: Vec<&str> = rows.iter().map(|row| row[0]).rev().collect();
    assert_eq!(listed, ids);
    assert!(rows.iter().all(|row| row.len() == 7), "{piped}");
    assert_eq!(rows[2][5], INTENT);
    let at = rows[0][3];
    assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
}

#[tokio::test]
async fn the_short_form_of_an_id_is_accepted_by_every_verb() {
    let (rig, ids) = filled().await;
    let denied = &ids[2];
    let text = plain(&shown(&rig, &["issues", "--state", "denied"], 80, &[]).await);
    let row = text.lines().nth(1).unwrap_or_else(|| panic!("{text}"));
    let short = row.split_whitespace().next().expect("an id");
    assert!(short.len() >= 8 && denied.ends_with(short), "{row}");
    for given in [short, &denied[..30], denied.as_str()] {
        let issue = piped(&rig, &["issues", given]).await;
        assert!(issue.stdout.contains(denied.as_str()), "{given}: {issue:?}");
        let entry = piped(&rig, &["log", given]).await;
        assert!(entry.stdout.contains(denied.as_str()), "{given}: {entry:?}");
        let watched = piped(&rig, &["watch", given]).await;
        assert_eq!(watched.code, Some(2), "{given}: {watched:?}");
        let decided = piped(&rig, &["cancel", given]).await;
        assert!(
            decided.stderr.contains("ISSUE_DECIDED"),
            "{given}: {decided:?}"
        );
        let again = piped(&rig, &["retry", given, "--detach"]).await;
        assert_eq!(again.code, Some(0), "{given}: {again:?}");
    }
    // The tables of decisions and commits show forms that are accepted, too.
    for (args, column) in [(&["log"][..], 1), (&["history", "support-swarm"], 3)] {
        let text = plain(&shown(&rig, args, 200, &[]).await);
        let row = text.lines().nth(1).unwrap_or_else(|| panic!("{text}"));
        let fields: Vec<&str> = row.split("  ").filter(|field| !field.is_empty()).collect();
        let found = fields.iter().any(|field| {
            let id = field.trim();
            id.len() == 8 && ids.iter().any(|known| known.ends_with(id))
        });
        assert!(found || column == 1, "{row}");
    }

    // The ids of one minute begin in the same way, and the error names them.
    let ambiguous = piped(&rig, &["issues", &ids[0][..4]]).await;
    assert_eq!(ambiguous.code, Some(1), "{ambiguous:?}");
    for id in &ids {
        assert!(ambiguous.stderr.contains(id.as_str()), "{ambiguous:?}");
    }
    let unknown = piped(&rig, &["issues", "no-such-issue"]).await;
    assert!(unknown.stderr.contains("ISSUE_NOT_FOUND"), "{unknown:?}");
}

#[tokio::test]
async fn a_version_is_accepted_by_its_beginning() {
    let rig = Rig::without_worker().await;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().to_str().expect("a plain path");
    let first = rig.client.put(factory::small("swarm")).await;
    std::fs::write(
        file.path(),
        factory::small("swarm").replace("sample", "other"),
    )
    .expect("a document");
    let stale = piped(&rig, &["put", path, "--expected-head", "9"]).await;
    assert_eq!(stale.code, Some(1), "{stale:?}");
    let put = piped(&rig, &["put", path, "--expected-head", &first.version[..8]]).await;
    assert_eq!(put.code, Some(0), "{put:?}");
    let got = piped(&rig, &["get", "swarm", "--version", &first.version[..8]]).await;
    assert!(got.stdout.contains("description: sample swarm"), "{got:?}");
    let moved = piped(
        &rig,
        &["promote", "swarm", "live", &first.version[..8], "--yes"],
    )
    .await;
    assert_eq!(moved.code, Some(0), "{moved:?}");

    // Two versions that begin with the same letter; a digit alone is the number of a commit.
    let mut versions = Vec::new();
    let same = loop {
        let mark = format!("mark {}", versions.len());
        let document = factory::small("swarm").replace("sample swarm", &mark);
        let version = rig.client.put(document).await.version;
        let is_alike = |other: &&String| other[..1] == version[..1];
        let is_letter = version.as_bytes()[0].is_ascii_lowercase();
        if let Some(other) = versions.iter().find(is_alike).filter(|_| is_letter) {
            break [version.clone(), other.clone()];
        }
        versions.push(version);
    };
    let refused = piped(&rig, &["diff", "swarm", &same[0][..1]]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for version in &same {
        assert!(refused.stderr.contains(version.as_str()), "{refused:?}");
    }
}

#[tokio::test]
async fn colours_are_only_on_a_terminal_that_wants_them() {
    let (rig, ids) = filled().await;
    let (applied, denied) = (ids[0].as_str(), ids[2].as_str());
    for (args, coloured) in [
        (&["issues"][..], "\x1b[32mapplied\x1b[0m"),
        (&["issues", denied], "\x1b[31mrejected (denied)\x1b[0m"),
        (&["log", applied], "\x1b[32mapplied\x1b[0m"),
        (&["diff", "support-swarm"], "\x1b[32m+"),
        (&["preview", "support-swarm", "tag three"], "\x1b[32m+"),
        (
            &["preview", "support-swarm", "tag three"],
            "\x1b[32mwould be applied\x1b[0m",
        ),
    ] {
        let text = shown(&rig, args, 80, &[]).await;
        assert!(text.contains(coloured), "{args:?}: {text:?}");
        let refusals: [&[(&str, &str)]; 2] = [&[("NO_COLOR", "1")], &[("TERM", "dumb")]];
        for env in refusals {
            let text = shown(&rig, args, 80, env).await;
            // A spinner may move the cursor on a terminal that can do so.
            assert_eq!(text, plain(&text), "{args:?} {env:?}");
            let is_dumb = env[0].0 == "TERM";
            assert!(!is_dumb || !text.contains('\x1b'), "{args:?}: {text:?}");
        }
        let piped = piped(&rig, args).await;
        assert!(!piped.stdout.contains('\x1b'), "{args:?}: {piped:?}");
    }
}

#[tokio::test]
async fn the_log_of_up_has_colours_only_on_a_terminal_that_wants_them() {
    for (env, is_coloured) in [
        (("TERM", "xterm"), true),
        (("TERM", "dumb"), false),
        (("NO_COLOR", "1"), false),
    ] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let args = ["up", "--listen", "127.0.0.1:0", "--workers", "1"];
        let mut up = command(Program::Draftsman, &args, &[env]);
        up.current_dir(dir.path());
        let done = run_until(up, 80, "draftsman is up").await;
        assert_eq!(done.code, Some(0), "{env:?}: {done:?}");
        assert!(done.stdout.contains("INFO"), "{env:?}: {done:?}");
        assert_eq!(
            done.stdout.contains('\x1b'),
            is_coloured,
            "{env:?}: {done:?}"
        );
    }
}

#[tokio::test]
async fn a_watched_list_replaces_the_screen() {
    let (rig, ids) = filled().await;
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str()), ("TERM", "xterm")];
    let watch = command(
        Program::Draftsman,
        &["issues", "--watch", "--limit", "2"],
        &env,
    );
    let seen = run_until(watch, 80, "showing 2").await;
    let seen = screen(&seen.stdout, 80);
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines[0].starts_with("ISSUE"), "{seen}");
    assert_eq!(lines.len(), 4, "{seen}");
    assert!(ids[3].ends_with(&lines[1][..8]), "{seen}");
}
