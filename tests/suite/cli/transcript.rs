//! The transcript: every verb with good and bad input, on a terminal of 80 columns and behind a
//! pipe.
//!
//! `cli_transcript.txt` is script and transcript. The test runs its commands and compares their
//! output, in which placeholders stand for what differs between two runs. `DRAFTSMAN_UPDATE_DOCS=1`
//! writes the output again; read the difference before you commit it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use tests::eventually::eventually_blocking;
use tests::factory;
use tests::programs::{Finished, Program, command, workspace_dir};
use tests::rig::Rig;
use tests::screen::{run_command_on_terminal, screen};

/// Width of the terminal.
const COLUMNS: u16 = 80;
/// The name of the workers, before their random part.
const WORKER: &str = "runner";

/// A command of the script.
struct Step {
    args: Vec<String>,
    input: Option<String>,
    /// What reads the output: nothing but the terminal, or `cat` or `head -n N`.
    reader: Option<String>,
}

impl Step {
    /// Parses a line after `$ draftsman `.
    fn parse(line: &str) -> Self {
        let (line, reader) = match line.rsplit_once(" | ") {
            Some((line, reader)) => (line, Some(reader.to_owned())),
            None => (line, None),
        };
        let (line, input) = match line.rsplit_once(" < ") {
            Some((line, input)) => (line, Some(input.to_owned())),
            None => (line, None),
        };
        Self {
            args: words(line),
            input,
            reader,
        }
    }
}

/// Splits a command line; single quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in line.split('\'').enumerate() {
        match n % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// What the script needs: a deployment, a folder with files, and the placeholders.
struct Stage {
    rig: Rig,
    dir: tempfile::TempDir,
    placeholders: Placeholders,
}

impl Stage {
    async fn start() -> Self {
        let rig = Rig::without_worker().await;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let small = factory::small("support-swarm");
        for (name, text) in [
            ("swarm.yaml", small.clone()),
            (
                "changed.yaml",
                small.replace("sample support", "changed support"),
            ),
            ("broken.yaml", "id: [\n".to_owned()),
            ("nameless.yaml", "flow: {}\n".to_owned()),
            (
                "setting.yaml",
                "id: mine\nblueprint_id: enhance-default\nverifier_axes: [noop]\nttl_secs: 60\n"
                    .to_owned(),
            ),
            ("yes", "y\n".to_owned()),
            ("no", "n\n".to_owned()),
            ("intent", "tag from a file\n".to_owned()),
        ] {
            std::fs::write(dir.path().join(name), text).expect("a file");
        }
        let placeholders = Placeholders::new(dir.path());
        Self {
            rig,
            dir,
            placeholders,
        }
    }

    /// Carries out a line that begins with `%`.
    async fn direct(&mut self, what: &str) {
        match what {
            "start a worker" => {
                self.rig.add_worker(&[("DRAFTSMAN_WORKER_NAME", WORKER)]);
                self.rig.until_registered(self.rig.workers.len()).await;
            }
            "stop the workers" => self.rig.workers.clear(),
            _ => panic!("unknown line of the transcript: {what}"),
        }
    }

    async fn run(&mut self, step: &Step) -> String {
        let args: Vec<&str> = step.args.iter().map(String::as_str).collect();
        let addr = format!("http://{}", self.rig.address);
        let config = self.dir.path().join("config").display().to_string();
        let env = [
            ("DRAFTSMAN_ADDR", addr.as_str()),
            ("USER", "ann"),
            ("EDITOR", "true"),
            ("NO_COLOR", "1"),
            ("XDG_CONFIG_HOME", config.as_str()),
        ];
        let mut command = command(Program::Draftsman, &args, &env);
        command.current_dir(self.dir.path());
        let input = step.input.as_ref().map(|name| self.dir.path().join(name));
        let (text, code) = match &step.reader {
            None => {
                let done = match input {
                    None => run_command_on_terminal(command, COLUMNS).await,
                    Some(_) => panic!("a command with input is behind a pipe"),
                };
                (screen(&done.stdout, COLUMNS.into()), done.code)
            }
            Some(reader) => {
                let lines = reader
                    .strip_prefix("head -n ")
                    .map(|n| n.parse().expect("a number"));
                let piped = move || piped(command, input, lines);
                let done = tokio::task::spawn_blocking(piped).await.expect("it ends");
                let errors = done.stderr.lines().map(|line| format!("2> {line}\n"));
                let text = [done.stdout, errors.collect::<String>()].concat();
                (text.trim_end().to_owned(), done.code)
            }
        };
        let mut text = self.placeholders.replace(&text);
        if let Some(code @ 1..) = code {
            text.push_str(&format!("\n[{code}]"));
        }
        text.trim_start_matches('\n').to_owned()
    }
}

/// Runs a command behind a pipe. With `lines`, ends it once it has printed as many.
fn piped(mut command: Command, input: Option<PathBuf>, lines: Option<usize>) -> Finished {
    let stdin = input.map_or(Stdio::null(), |path| {
        File::open(path).expect("input").into()
    });
    let files = [(); 2].map(|()| tempfile::NamedTempFile::new().expect("a file"));
    let [stdout, stderr] = &files;
    let writer = |file: &tempfile::NamedTempFile| Stdio::from(file.reopen().expect("a file"));
    command
        .stdin(stdin)
        .stdout(writer(stdout))
        .stderr(writer(stderr));
    let mut child = command.spawn().expect("the program starts");
    let text = |file: &tempfile::NamedTempFile| {
        let bytes = std::fs::read(file.path()).expect("output");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let status = eventually_blocking("the program ends", || {
        if lines.is_some_and(|lines| text(stdout).lines().count() >= lines) {
            // Ended already, or ends now.
            let _ = child.kill();
        }
        match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    });
    let keep = |text: String| match lines {
        Some(lines) => text.split_inclusive('\n').take(lines).collect(),
        None => text,
    };
    Finished {
        code: status.code(),
        stdout: keep(text(stdout)),
        stderr: text(stderr),
    }
}

/// Replaces what differs between two runs by text of the same width where a table has it.
struct Placeholders {
    rules: Vec<(Regex, &'static str)>,
    dir: String,
    uuid: Regex,
    uuids: Vec<String>,
}

impl Placeholders {
    fn new(dir: &Path) -> Self {
        let rules = [
            (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
            (r"\b\ds ago   ", "Ns ago   "),
            (r"\b\d\ds ago  ", "Ns ago   "),
            (r"\b\d+s ago", "Ns ago"),
            (r"\b[\d,]+ ms\b", "N ms"),
            (r"\b\d+(\.\d)? MiB", "N MiB"),
            (r"(runner-[0-9a-z]+[ \t]+\d[ \t]+)\d+s\b", "${1}Ns"),
            (
                r#""(used_memory|max_memory|duration_ms)": ?\d+"#,
                "\"$1\": N",
            ),
            (r"runner-[0-9a-z]+", "runner-RANDOM"),
            (r"(?m)^  in flight.*\n", ""),
            (r"(?m)^    [a-z-]+ .*\d ms\n", ""),
            (concat!("\\b", env!("CARGO_PKG_VERSION"), "\\b"), "VERSION"),
        ];
        let compile = |(rule, with): (&str, _)| (Regex::new(rule).expect("a rule"), with);
        let uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}";
        Self {
            rules: rules.map(compile).into(),
            dir: dir.display().to_string(),
            uuid: Regex::new(uuid).expect("a rule"),
            uuids: Vec::new(),
        }
    }

    fn replace(&mut self, text: &str) -> String {
        for found in self.uuid.find_iter(text) {
            let id = found.as_str().to_owned();
            if !self.uuids.contains(&id) {
                self.uuids.push(id);
            }
        }
        let mut text = text.replace(&self.dir, "DIR");
        for (n, id) in self.uuids.iter().enumerate() {
            text = text.replace(id, &format!("UUID-{n}"));
            text = text.replace(&id[id.len() - 8..], &format!("uuid-{n:<3}"));
        }
        for (rule, with) in &self.rules {
            text = rule.replace_all(&text, *with).into_owned();
        }
        text.lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[tokio::test]
async fn the_transcript_is_what_the_verbs_print() {
    let path = workspace_dir().join("tests/cli_transcript.txt");
    let script = std::fs::read_to_string(&path).expect("cli_transcript.txt");
    let mut stage = Stage::start().await;
    let mut transcript = String::new();
    for line in script.lines() {
        if let Some(what) = line.strip_prefix("% ") {
            stage.direct(what).await;
        } else if let Some(typed) = line.strip_prefix("$ draftsman") {
            let output = stage.run(&Step::parse(typed)).await;
            transcript.push_str(&format!("{line}\n"));
            for line in output.lines() {
                transcript.push_str(format!("    {line}").trim_end());
                transcript.push('\n');
            }
            transcript.push('\n');
            continue;
        } else if !line.starts_with("# ") {
            // The output of the last run.
            continue;
        }
        transcript.push_str(&format!("{line}\n\n"));
    }
    let transcript = format!("{}\n", transcript.trim_end());
    if std::env::var_os("DRAFTSMAN_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &transcript).expect("cli_transcript.txt");
        return;
    }
    let difference = script
        .lines()
        .zip(transcript.lines())
        .find(|(old, new)| old != new);
    assert!(
        script == transcript,
        "cli_transcript.txt is out of date; set DRAFTSMAN_UPDATE_DOCS=1 and read the difference: {difference:?}"
    );
}

#[test]
fn the_transcript_has_every_verb() {
    let page = std::fs::read_to_string(workspace_dir().join("docs/cli.md")).expect("docs/cli.md");
    let script = workspace_dir().join("tests/cli_transcript.txt");
    let script = std::fs::read_to_string(script).expect("cli_transcript.txt");
    let headings = page
        .lines()
        .filter_map(|line| line.strip_prefix("## `draftsman "));
    for verb in headings.filter_map(|heading| heading.strip_suffix('`')) {
        // Groups of verbs do nothing themselves.
        let is_group = page.contains(&format!("## `draftsman {verb} "));
        let is_run = script.contains(&format!("$ draftsman {verb}"));
        assert!(is_group || is_run, "the transcript has no {verb}");
    }
}
