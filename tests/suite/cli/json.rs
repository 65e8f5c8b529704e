//! `--output json`: one schema for each verb, as `docs/cli.md` describes it, and errors too.

use serde_json::Value;
use tests::factory;
use tests::programs::{Finished, Program, run, workspace_dir};
use tests::rig::Rig;

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    let args: Vec<&str> = args.iter().copied().chain(["--output", "json"]).collect();
    run(Program::Draftsman, &args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn errors_are_json_too() {
    let rig = Rig::without_worker().await;
    for (args, code, reason) in [
        (&["get", "nobody"][..], 1, "BLUEPRINT_NOT_FOUND"),
        (&["submit", "nobody", "tag x"], 1, "BLUEPRINT_NOT_FOUND"),
        (&["issues", "nothing"], 1, "ISSUE_NOT_FOUND"),
        (&["log", "nothing"], 1, "LOG_ENTRY_NOT_FOUND"),
        (&["setting", "get", "nothing"], 1, "SETTING_NOT_FOUND"),
        (&["put", "/no/such/file"], 1, "UNREADABLE_FILE"),
        (&["get", "bad id"], 1, "INVALID_FIELD"),
        (&["issues", "--state", "wrong"], 64, "USAGE"),
        (&["no-such-verb"], 64, "USAGE"),
    ] {
        let failed = draftsman(&rig, args).await;
        assert_eq!(failed.code, Some(code), "{args:?}: {failed:?}");
        assert_eq!(failed.stdout, "", "{args:?}");
        let error = value(&failed.stderr);
        assert_eq!(error["reason"], reason, "{args:?}: {error}");
        assert_eq!(error["exit_status"], code, "{args:?}: {error}");
        assert!(error["message"].is_string(), "{args:?}: {error}");
        assert_eq!(failed.stderr.lines().count(), 1, "{failed:?}");
    }
    let invalid = value(&draftsman(&rig, &["get", "bad id"]).await.stderr);
    assert_eq!(invalid["field"], "blueprint_id", "{invalid}");
    let away = run(
        Program::Draftsman,
        &["stats", "--output", "json", "--addr", "http://127.0.0.1:1"],
        &[],
    )
    .await;
    assert_eq!(value(&away.stderr)["reason"], "NOT_CONNECTED", "{away:?}");
}

#[tokio::test]
async fn what_is_printed_is_what_is_read() {
    let rig = Rig::without_worker().await;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().to_str().expect("a plain path");
    let commit = rig.client.put(factory::small("swarm")).await;
    let document = draftsman(&rig, &["get", "swarm"]).await;
    assert_eq!(value(&document.stdout)["id"], "swarm");
    std::fs::write(file.path(), &document.stdout).expect("a document");
    let again = value(&draftsman(&rig, &["put", path]).await.stdout);
    assert_eq!(again["created"], false, "{again}");
    assert_eq!(again["commit"]["version"], commit.version, "{again}");

    let setting = draftsman(&rig, &["setting", "get", "default"]).await;
    assert_eq!(value(&setting.stdout)["id"], "default");
    std::fs::write(file.path(), &setting.stdout).expect("a setting");
    let again = draftsman(&rig, &["setting", "put", path]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
}

/// The fields that `docs/cli.md` names for a kind of record: `- **issue**: `a`, `b``.
fn documented(page: &str, record: &str) -> Vec<String> {
    let start = format!("- **{record}**: ");
    let rest = page.split_once(&start).map(|(_, rest)| rest);
    let rest = rest.unwrap_or_else(|| panic!("docs/cli.md describes {record}"));
    let end = rest.find("\n- ").or_else(|| rest.find("\n\n"));
    let entry = &rest[..end.unwrap_or(rest.len())];
    let fields = entry.split('`').skip(1).step_by(2).map(str::to_owned);
    let mut fields: Vec<String> = fields.collect();
    fields.sort();
    fields
}

fn fields(value: &Value) -> Vec<String> {
    let members = value
        .as_object()
        .unwrap_or_else(|| panic!("an object: {value}"));
    let mut fields: Vec<String> = members.keys().cloned().collect();
    fields.sort();
    fields
}

#[tokio::test]
async fn every_record_has_the_documented_fields_and_times() {
    let rig = Rig::start().await;
    let page = std::fs::read_to_string(workspace_dir().join("docs/cli.md")).expect("docs/cli.md");
    rig.client.put(factory::small("swarm")).await;
    let submitted = draftsman(&rig, &["submit", "swarm", "tag one", "--issue-id", "one"]).await;
    let submitted = value(&submitted.stdout);
    draftsman(&rig, &["promote", "swarm", "live", "1", "--yes"]).await;
    draftsman(&rig, &["promote", "swarm", "live", "2", "--yes"]).await;
    let mut records = vec![("issue", submitted["issue"].clone())];
    for (args, list, record) in [
        (&["issues"][..], "issues", "issue"),
        (&["log"], "entries", "log entry"),
        (&["history", "swarm"], "commits", "commit"),
        (&["get"], "blueprints", "Blueprint"),
        (&["setting", "list"], "settings", "setting"),
        (&["channels"], "channels", "channel"),
        (&["channels", "--moves"], "moves", "move"),
    ] {
        let listed = value(&draftsman(&rig, args).await.stdout);
        let items = listed[list].as_array();
        let items = items.unwrap_or_else(|| panic!("{args:?} has {list}: {listed}"));
        assert!(!items.is_empty(), "{args:?}: {listed}");
        records.extend(items.iter().map(|item| (record, item.clone())));
    }
    let stats = value(&draftsman(&rig, &["stats"]).await.stdout);
    records.push(("worker", stats["workers"][0].clone()));
    records.push(("statistics", stats));
    let preview = value(
        &draftsman(&rig, &["preview", "swarm", "tag two"])
            .await
            .stdout,
    );
    assert!(
        preview["json_patch"].is_array(),
        "JSON, not text: {preview}"
    );
    records.push(("verdict", preview["verdicts"][0].clone()));
    records.push(("preview", preview));
    let diff = value(&draftsman(&rig, &["diff", "swarm"]).await.stdout);
    assert!(diff["json_patch"].is_array(), "JSON, not text: {diff}");
    records.push(("difference", diff));
    let entry = value(&draftsman(&rig, &["log", "one"]).await.stdout);
    assert!(entry["entry"]["patch_json"].is_array(), "JSON: {entry}");
    records.push(("usage", entry["entry"]["usage"].clone()));
    let doctor = value(&draftsman(&rig, &["doctor"]).await.stdout);
    records.push(("check", doctor["checks"][0].clone()));
    for (record, value) in records {
        assert_eq!(
            fields(&value),
            documented(&page, record),
            "{record}: {value}"
        );
        for (name, member) in value.as_object().into_iter().flatten() {
            let is_time = name.ends_with("_at") || ["now", "since", "last_seen"].contains(&&**name);
            if let (true, Some(time)) = (is_time, member.as_str()) {
                let parsed = time.parse::<prost_types::Timestamp>();
                assert!(
                    parsed.is_ok() && time.ends_with('Z'),
                    "{record}.{name}: {time}"
                );
            }
            assert!(!name.ends_with("_ms") || name == "duration_ms", "{name}");
        }
    }
}
