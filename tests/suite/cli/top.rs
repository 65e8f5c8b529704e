//! `draftsman top`: once into a pipe, and as a picture on a terminal.

use serde_json::Value;
use tests::factory;
use tests::programs::{Program, run};
use tests::rig::Rig;
use tests::terminal::Terminal;

#[tokio::test]
async fn without_a_terminal_it_prints_once() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("seen")).await;
    rig.client.submit("seen", "tag one").await;
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str())];
    let text = run(Program::Draftsman, &["top"], &env).await;
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(text.stdout.contains("1 pending"), "{text:?}");
    assert!(text.stdout.contains("no worker"), "{text:?}");
    assert!(!text.stdout.contains('\x1b'), "{text:?}");
    let json = run(Program::Draftsman, &["top", "--output", "json"], &env).await;
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["stats"]["pending"], 1, "{json}");
    assert_eq!(json["in_flight"], serde_json::json!([]));
    let nowhere = [("DRAFTSMAN_ADDR", "127.0.0.1:1")];
    let away = run(Program::Draftsman, &["top"], &nowhere).await;
    assert_eq!(away.code, Some(1), "{away:?}");
}

/// Shows the modes of the terminal before and after, so that a difference is seen. Ctrl-C goes to
/// the shell, too, which must go on.
const SCRIPT: &str = "trap : INT; before=$(stty -g); $DRAFTSMAN top --interval 1; status=$?; \
    [ \"$before\" = \"$(stty -g)\" ] && echo modes kept; echo status $status";

#[tokio::test]
async fn the_picture_is_kept_up_to_date_and_leaves_the_terminal_as_it_was() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("seen")).await;
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str()), ("NO_COLOR", "1")];
    for end in ["q", "\x03"] {
        let mut terminal = Terminal::start(SCRIPT, (100, 30), &env);
        terminal.until("q ends").await;
        assert!(
            terminal.output().contains("\x1b[?1049h\x1b[?25l"),
            "{}",
            terminal.output()
        );
        terminal.press(end);
        terminal.until("modes kept").await;
        terminal.until("status 0").await;
        assert!(
            terminal.output().contains("\x1b[?25h\x1b[?1049l"),
            "{}",
            terminal.output()
        );
        assert!(terminal.wait().await.success());
    }

    let mut terminal = Terminal::start(SCRIPT, (100, 30), &env);
    terminal.until("0 pending").await;
    rig.client.submit("seen", "tag one").await;
    terminal.until("1 pending").await;
    rig.add_worker(&[("DRAFTSMAN_WORKER_NAME", "seen-worker")]);
    terminal.until("seen-worker").await;

    // In a narrow terminal no line is longer than the terminal.
    let n = terminal.output().len();
    terminal.resize((30, 5));
    terminal.until_after(n, "\x1b[J").await;
    let output = terminal.output();
    let (drawn, _) = output[n..].split_once("\x1b[J").expect("a picture");
    let lines: Vec<&str> = drawn.split("\r\n").collect();
    assert!(lines.len() <= 5, "{lines:?}");
    for line in lines {
        let shown = line.replace("\x1b[H", "").replace("\x1b[K", "");
        let shown = shown.trim_end_matches('\r');
        assert!(shown.chars().count() <= 30, "{shown:?}");
    }
    terminal.resize((100, 30));

    // An intake that stops is reported, and keys still work.
    let n = terminal.output().len();
    rig.intake.terminate().await;
    terminal.until_after(n, "has not answered").await;
    terminal.press("q");
    terminal.until("modes kept").await;
    assert!(terminal.wait().await.success());
}
