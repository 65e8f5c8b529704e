//! `draftsman edit` and `setting edit`, with editors that are shell scripts, and on a terminal.

use std::path::PathBuf;

use proto::v1;
use tests::factory;
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;
use tests::terminal::Terminal;

/// Runs a verb with this editor. `TMPDIR` is `dir`, so that files that are kept are found there.
async fn with_editor(rig: &Rig, dir: &str, editor: &str, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    let env = [
        ("DRAFTSMAN_ADDR", addr.as_str()),
        ("TMPDIR", dir),
        ("EDITOR", editor),
    ];
    run(Program::Draftsman, args, &env).await
}

fn files(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.path()).expect("the folder");
    entries.map(|entry| entry.expect("a file").path()).collect()
}

/// The text of the file that was kept. Its name must be in the message.
fn kept(dir: &tempfile::TempDir, finished: &Finished) -> String {
    let files = files(dir);
    let [file] = files.as_slice() else {
        panic!("{files:?}: {finished:?}")
    };
    let name = file.to_str().expect("a plain path");
    assert!(finished.stderr.contains(name), "{finished:?}");
    std::fs::read_to_string(file).expect("the file")
}

#[tokio::test]
async fn what_the_editor_leaves_is_written_against_the_head_that_it_began_with() {
    let rig = Rig::without_worker().await;
    let first = rig.client.put(factory::small("edited")).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tmp = dir.path().to_str().expect("a plain path");

    let same = with_editor(&rig, tmp, "true", &["edit", "edited"]).await;
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.contains("unchanged"), "{same:?}");
    assert_eq!(rig.client.history("edited").await.len(), 1);
    assert!(files(&dir).is_empty());

    // An editor with an option, as git allows it.
    let editor = "sed -i -e 's/agent number 0/changed by hand/'";
    let done = ["edit", "edited", "--rationale", "by hand"];
    let done = with_editor(&rig, tmp, editor, &done).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let head = rig.client.head("edited").await;
    assert!(
        head.document_yaml.contains("changed by hand"),
        "{}",
        head.document_yaml
    );
    let commit = head.commit.expect("a commit");
    assert_eq!(
        (commit.rationale.as_str(), &commit.parents),
        ("by hand", &vec![first.version])
    );
    assert!(
        files(&dir).is_empty(),
        "a text that is stored leaves no file"
    );

    // The head moves while the editor is open.
    let other = dir.path().join("other");
    let text = factory::small("edited").replace("agent number 0", "meanwhile");
    std::fs::write(&other, text).expect("a document");
    let program = Program::Draftsman.path();
    let editor = format!(
        "sh -c 'sed -i s/changed/mine/ \"$1\"; {} put {} && rm {}' sh",
        program.display(),
        other.display(),
        other.display()
    );
    let moved = with_editor(&rig, tmp, &editor, &["edit", "edited"]).await;
    assert_eq!(moved.code, Some(1), "{moved:?}");
    assert!(moved.stderr.contains("ABORTED"), "{moved:?}");
    assert!(moved.stderr.contains("draftsman put "), "{moved:?}");
    assert!(kept(&dir, &moved).contains("mine by hand"));
    let head = rig.client.head("edited").await;
    assert!(
        head.document_yaml.contains("meanwhile"),
        "{}",
        head.document_yaml
    );
}

#[tokio::test]
async fn a_text_that_is_not_written_is_kept() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("edited")).await;
    let before = rig.key_dump().await;
    for (editor, word) in [
        ("sed -i -e s/agents:/agent:/", "not valid"),
        ("sed -i -e 's/^id: edited/id: other/'", "`other`"),
        ("sh -c 'echo x: [ >> \"$1\"' sh", "not valid"),
        (
            "sh -c 'echo \"# mine\" >> \"$1\"; exit 3' sh",
            "exit status: 3",
        ),
    ] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tmp = dir.path().to_str().expect("a plain path");
        let refused = with_editor(&rig, tmp, editor, &["edit", "edited"]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(word), "{word}: {refused:?}");
        assert!(!kept(&dir, &refused).is_empty());
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tmp = dir.path().to_str().expect("a plain path");
    for (editor, word) in [
        ("false", "exit status: 1"),
        ("/no/editor", "exit status: 127"),
    ] {
        let failed = with_editor(&rig, tmp, editor, &["edit", "edited"]).await;
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(failed.stderr.contains(word), "{failed:?}");
        assert!(files(&dir).is_empty(), "an unchanged text is not kept");
    }
    let unknown = with_editor(&rig, tmp, "true", &["edit", "nobody"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let mut after = rig.key_dump().await;
    after.retain(|key, _| before.contains_key(key));
    assert_eq!(after, before, "nothing was written");
}

#[tokio::test]
async fn an_invalid_text_can_be_edited_again_at_a_terminal() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("edited")).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tmp = dir.path().to_str().expect("a plain path");
    let place = tempfile::tempdir().expect("a temporary directory");
    let pid_file = place.path().join("pid").display().to_string();
    // The first run breaks the text, the second one mends it. In the first one Ctrl-C is pressed,
    // which is meant for the editor.
    let editor = dir.path().join("editor.sh");
    let script = "if grep -q '^agents:' \"$1\"; then sed -i s/^agents:/agent:/ \"$1\"; \
                  if [ -e \"$PID_FILE\" ]; then kill -INT $(cat \"$PID_FILE\"); rm \"$PID_FILE\"; fi; \
                  else sed -i -e s/^agent:/agents:/ -e 's/agent number 0/mended/' \"$1\"; fi\n";
    std::fs::write(&editor, script).expect("the editor");
    let addr = format!("http://{}", rig.address);
    let visual = format!("sh {}", editor.display());
    let env = [
        ("DRAFTSMAN_ADDR", addr.as_str()),
        ("TMPDIR", tmp),
        ("VISUAL", visual.as_str()),
        ("PID_FILE", pid_file.as_str()),
    ];
    let typed = "echo $$ > \"$PID_FILE\"; exec $DRAFTSMAN edit edited";
    let mut terminal = Terminal::start(typed, (100, 30), &env);
    terminal.until("edit again? [Y/n]").await;
    terminal.press("y\r");
    let ended = terminal.wait().await;
    assert!(ended.success(), "{}", terminal.output());
    let head = rig.client.head("edited").await;
    assert!(
        head.document_yaml.contains("mended"),
        "{}",
        head.document_yaml
    );
    assert_eq!(files(&dir), std::slice::from_ref(&editor));

    // Ctrl-C at the question ends the verb, and keeps the text.
    let mut terminal = Terminal::start("exec $DRAFTSMAN edit edited", (100, 30), &env);
    terminal.until("edit again? [Y/n]").await;
    terminal.press("\x03");
    terminal.until("your text is in").await;
    let ended = terminal.wait().await;
    assert!(!ended.success(), "{}", terminal.output());
    assert_eq!(files(&dir).len(), 2, "{:?}", files(&dir));
}

#[tokio::test]
async fn a_setting_is_edited_against_its_revision() {
    let rig = Rig::without_worker().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tmp = dir.path().to_str().expect("a plain path");
    let same = with_editor(&rig, tmp, "true", &["setting", "edit", "default"]).await;
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.contains("unchanged"), "{same:?}");
    let editor = "sed -i -e 's/^ttl_secs: .*/ttl_secs: 77/'";
    let done = with_editor(&rig, tmp, editor, &["setting", "edit", "default"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let request = v1::GetSettingRequest {
        setting_id: "default".to_owned(),
    };
    let stored = rig
        .client
        .settings
        .clone()
        .get_setting(request)
        .await
        .expect("GetSetting");
    let stored = stored.into_inner().setting.expect("a setting");
    assert_eq!((stored.ttl_secs, stored.revision), (77, 2));
    assert!(files(&dir).is_empty());

    let editor = "sed -i -e 's/noop/nop/'";
    let refused = with_editor(&rig, tmp, editor, &["setting", "edit", "default"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("AXIS_UNKNOWN"), "{refused:?}");
    assert!(kept(&dir, &refused).contains("nop"));

    // Another writer is faster.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let tmp = dir.path().to_str().expect("a plain path");
    let program = Program::Draftsman.path();
    let editor = format!(
        "sh -c 'sed -i s/77/78/ \"$1\"; {} setting put \"$1\" && sed -i s/78/79/ \"$1\"' sh",
        program.display()
    );
    let moved = with_editor(&rig, tmp, &editor, &["setting", "edit", "default"]).await;
    assert_eq!(moved.code, Some(1), "{moved:?}");
    assert!(moved.stderr.contains("REVISION_MOVED"), "{moved:?}");
    assert!(kept(&dir, &moved).contains("ttl_secs: 79"));
}
