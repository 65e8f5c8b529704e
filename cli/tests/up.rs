//! Tests `draftsman up` as a user runs it: the real program with a real redis-server.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as expected"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use serde_json::Value;

const DRAFTSMAN: &str = env!("CARGO_BIN_EXE_draftsman");
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A running `draftsman up`, killed if a test ends early.
struct Up {
    child: Child,
    addr: String,
}

impl Up {
    /// Starts it on a free port and waits until it prints its address.
    fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// As [`Up::start`], with additional environment variables.
    fn start_with(data_dir: &Path, env: &[(&str, &str)]) -> Self {
        use std::os::unix::process::CommandExt;
        let mut child = draftsman([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--output",
            "json",
            "--data-dir",
        ])
        .arg(data_dir)
        .envs(env.iter().copied())
        // Its own process group, as in a shell.
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let mut first_line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first_line)
            .unwrap();
        let said: Value = serde_json::from_str(&first_line).unwrap();
        Self {
            child,
            addr: said["addr"].as_str().unwrap().to_owned(),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Runs a verb against it.
    fn run<const N: usize>(&self, args: [&str; N]) -> Output {
        draftsman(args)
            .args(["--output", "json"])
            .env("DRAFTSMAN_ADDR", &self.addr)
            .output()
            .unwrap()
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "`draftsman up` does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the program without variables of the developer's environment.
fn draftsman<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(DRAFTSMAN);
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("DRAFTSMAN_LOG", "warn");
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn redis_pid(data_dir: &Path) -> Pid {
    let holders = std::fs::read_to_string(data_dir.join("lock")).unwrap();
    Pid::from_raw(holders.split_once(' ').unwrap().1.parse().unwrap()).unwrap()
}

/// Returns true if no process runs under the id. A zombie counts as gone.
fn is_gone(pid: Pid) -> bool {
    if test_kill_process(pid).is_err() {
        return true;
    }
    std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    })
}

#[test]
fn everything_ends_with_one_ctrl_c_and_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let document = dir.path().join("swarm.yaml");
    std::fs::write(&document, "id: swarm\nagents: [{name: writer}]\nflow: {kind: step, ref: writer, in: {op: path, at: $}, out: {op: path, at: $.x}}\n")
        .unwrap();

    let mut up = Up::start(&data_dir);
    let put = up.run(["put", document.to_str().unwrap()]);
    assert_eq!(json(&put)["created"], true);
    let submitted = up.run(["submit", "swarm", "tag", "kept"]);
    assert_eq!(submitted.status.code(), Some(0), "{submitted:?}");
    let issue = &json(&submitted)["issue"];
    assert_eq!(issue["state"], "applied");
    let denied = up.run(["submit", "swarm", "remove /agents/0"]);
    assert_eq!(denied.status.code(), Some(2), "{denied:?}");
    let detached = json(&up.run([
        "submit",
        "swarm",
        "nobody understands this",
        "--unchecked",
        "--detach",
    ]));
    let watched = up.run(["watch", detached["issue"]["issue_id"].as_str().unwrap()]);
    assert_eq!(watched.status.code(), Some(2), "{watched:?}");
    let unknown = up.run(["submit", "nobody", "tag it"]);
    assert_eq!(
        (unknown.status.code(), unknown.stdout.is_empty()),
        (Some(1), true)
    );
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("NOT_FOUND"),
        "{unknown:?}"
    );

    // Does what a terminal does on Ctrl-C.
    let redis = redis_pid(&data_dir);
    kill_process_group(up.pid(), Signal::INT).unwrap();
    assert!(up.ended().success());
    assert!(is_gone(redis));

    let mut again = Up::start(&data_dir);
    let log = json(&again.run(["log", issue["issue_id"].as_str().unwrap()]));
    assert_eq!(log["entry"]["new_hash"], issue["new_version"]);
    let history = json(&again.run(["history", "swarm"]));
    assert_eq!(history["commits"].as_array().unwrap().len(), 2);
    assert_eq!(history["commits"][0]["version"], issue["new_version"]);
    let diff = json(&again.run(["diff", "swarm"]));
    assert!(
        diff["unified_diff"].as_str().unwrap().contains("+  - kept"),
        "{diff}"
    );
    kill_process(again.pid(), Signal::TERM).unwrap();
    assert!(again.ended().success());
}

#[test]
fn one_that_wants_tokens_comes_up_without_having_one() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, "read reader-0123456789\n").unwrap();
    let env = [("DRAFTSMAN_TOKENS_FILE", tokens.to_str().unwrap())];
    let up = Up::start_with(&dir.path().join("data"), &env);
    let refused = up.run(["stats"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("UNAUTHENTICATED"), "{said}");
    let told = up.run(["stats", "--token", "reader-0123456789"]);
    assert_eq!(json(&told)["workers"].as_array().unwrap().len(), 1);
}

/// Returns the text of `/metrics`.
fn scrape(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn it_exports_what_its_workers_do() {
    let dir = tempfile::tempdir().unwrap();
    let document = dir.path().join("swarm.yaml");
    std::fs::write(&document, "id: swarm\nagents: []\nflow: {}\n").unwrap();
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let listen = format!("127.0.0.1:{port}");
    let env = [("DRAFTSMAN_METRICS_LISTEN", listen.as_str())];
    let up = Up::start_with(&dir.path().join("data"), &env);
    up.run(["put", document.to_str().unwrap()]);
    up.run(["submit", "swarm", "tag", "kept"]);
    let denied = up.run(["submit", "swarm", "nobody understands this", "--unchecked"]);
    assert_eq!(denied.status.code(), Some(2), "{denied:?}");
    let text = scrape(port);
    for line in [
        "draftsman_redis_up 1",
        "draftsman_intake_ready 1",
        "draftsman_worker_open 0",
        "draftsman_worker_claimed_total 2",
        "draftsman_worker_ended_total{outcome=\"applied\"} 1",
        "draftsman_worker_reaped_total 0",
        "draftsman_worker_issue_seconds_count 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    for start in [
        "draftsman_worker_denials_total{axis=",
        "draftsman_worker_step_seconds_bucket{step=",
        "draftsman_build_info{version=",
        "process_cpu_seconds_total ",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(start)),
            "{start} in\n{text}"
        );
    }
}

#[test]
fn doctor_has_nothing_to_report_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let said = json(&up.run(["doctor"]));
    for check in said["checks"].as_array().unwrap() {
        assert_eq!(check["finding"], "ok", "{check}");
    }
}

#[test]
fn a_second_one_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let second = draftsman(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        said.contains("is in use") && said.contains(&up.child.id().to_string()),
        "{said}"
    );
}

#[test]
fn a_killed_one_leaves_data_that_the_next_one_takes_up() {
    let dir = tempfile::tempdir().unwrap();
    let document = dir.path().join("swarm.yaml");
    std::fs::write(&document, "id: swarm\nagents: []\nflow: {}\n").unwrap();
    let data_dir = dir.path().join("data");
    let up = Up::start(&data_dir);
    assert_eq!(
        json(&up.run(["put", document.to_str().unwrap()]))["created"],
        true
    );
    let redis = redis_pid(&data_dir);
    drop(up);
    // Without setpriv the redis-server outlives `up`. The refusal then names it, and this test ends
    // it.
    if !Path::new("/usr/bin/setpriv").exists() {
        let refused = draftsman(["up", "--data-dir"])
            .arg(&data_dir)
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("left behind"),
            "{refused:?}"
        );
        kill_process(redis, Signal::TERM).unwrap();
    }
    let again = Up::start(&data_dir);
    assert_eq!(
        json(&again.run(["history", "swarm"]))["commits"][0]["seq"],
        1
    );
}

#[test]
fn wrong_arguments_end_with_64_and_a_missing_intake_with_1() {
    let status = |output: Output| {
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, _) = status(draftsman(["submit"]).output().unwrap());
    assert_eq!(code, Some(64));
    let (code, said) = status(
        draftsman(["up", "--listen", "x"])
            .env("DRAFTSMAN_GRACE_SECS", "y")
            .output()
            .unwrap(),
    );
    assert_eq!(code, Some(64));
    assert!(
        said.contains("DRAFTSMAN_LISTEN") && said.contains("DRAFTSMAN_GRACE_SECS"),
        "{said}"
    );
    let (code, said) = status(
        draftsman(["stats", "--addr", "http://127.0.0.1:9"])
            .output()
            .unwrap(),
    );
    assert_eq!(code, Some(1));
    assert!(said.contains("draftsman up"), "{said}");
    let (code, said) = status(
        draftsman(["up", "--redis-server", "/nonexistent", "--data-dir"])
            .arg(tempfile::tempdir().unwrap().path())
            .output()
            .unwrap(),
    );
    assert_eq!(code, Some(1));
    assert!(said.contains("/nonexistent"), "{said}");
}
