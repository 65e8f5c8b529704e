//! Kind `subprocess`: a local program that the worker's configuration allows.
//!
//! The program receives the step's input as JSON on stdin and writes one JSON value to stdout. Its
//! stderr goes to the log. No shell is involved. Its environment contains only the variables that
//! the configuration passes on, and its working directory is `/`. The
//! [`guard`](crate::flow::agents::subprocess::process_guard) kills the program and its descendants
//! when the step ends or is dropped.

pub(crate) mod process_guard;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use shared::blueprint::{Doc, json};
use shared::whole_ms::whole_ms;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::flow::agents::Agent;
use crate::flow::agents::subprocess::process_guard::{KEEP, Report};
use crate::flow::error::{FlowError, StepError};
use crate::flow::program_error::ProgramError;
use crate::flow::step_context::StepContext;

/// The kind's name in documents.
pub(in crate::flow) const KIND: &str = "subprocess";

/// The maximum size of stdout, in bytes.
const MAX_STDOUT: usize = 1 << 20;

/// The maximum size of one step's stderr in the log, in bytes.
const MAX_LOGGED: usize = 64 << 10;

/// The maximum size of a line of stderr, in bytes; the rest of the line is dropped.
const MAX_LINE: usize = 2 << 10;

/// The number of last lines of stderr in an error.
const ERROR_LINES: usize = 5;

/// The allowed programs and their environment variables.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// The absolute paths of the programs, as in agent definitions.
    pub allowed: Vec<PathBuf>,
    /// The names of the worker's environment variables that programs inherit.
    pub env: Vec<String>,
}

/// Runs one program.
#[derive(Debug)]
pub(in crate::flow) struct SubprocessAgent {
    program: String,
    args: Vec<String>,
    env: Vec<(OsString, OsString)>,
    timeout: Option<Duration>,
}

impl SubprocessAgent {
    /// Returns the same agent with a time limit for each run.
    pub(in crate::flow) fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { timeout, ..self }
    }

    /// Returns an agent that runs `program` with `args`, if `programs` allows it.
    ///
    /// # Errors
    /// [`FlowError::ProgramNotAllowed`] with the allowed programs.
    pub(in crate::flow) fn new(
        agent: &str,
        program: &str,
        args: &[String],
        programs: &Programs,
    ) -> Result<Self, FlowError> {
        if !programs.allowed.iter().any(|p| p == Path::new(program)) {
            return Err(FlowError::ProgramNotAllowed {
                agent: agent.to_owned(),
                program: program.to_owned(),
                allowed: programs
                    .allowed
                    .iter()
                    .map(|p| p.display().to_string())
                    .collect(),
            });
        }
        let env = programs.env.iter().filter_map(|name| {
            let value = std::env::var_os(name)?;
            Some((OsString::from(name), value))
        });
        Ok(Self {
            program: program.to_owned(),
            args: args.to_vec(),
            env: env.collect(),
            timeout: None,
        })
    }

    async fn output(&self, input: &Doc, step: &str) -> Result<Doc, StepError> {
        let cannot_run = |error: io::Error| StepError::Transient {
            message: format!("no process could be started for {}: {error}", self.program),
            retry_after: None,
        };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(cannot_run)?;
        ours.set_nonblocking(true).map_err(cannot_run)?;
        let mut socket = UnixStream::from_std(ours).map_err(cannot_run)?;
        let mut guard = Command::new(own_program())
            .arg(KEEP)
            .arg(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A separate group, so that Ctrl-C at the terminal reaches only the worker.
            .process_group(0)
            .spawn()
            .map_err(cannot_run)?;
        let (Some(stdout), Some(stderr)) = (guard.stdout.take(), guard.stderr.take()) else {
            return Err(cannot_run(io::Error::other("no pipes")));
        };
        let text = json::emit(input);
        let mut log = StderrLog::new(step, &self.program);
        // `socket` now controls the lifetime of the program: dropping it kills the program.
        let (from_guard, to_guard) = socket.split();
        let (stdout, (), (), report) = tokio::try_join!(
            async { Ok(self.read(stdout).await?) },
            async {
                log.read(stderr).await;
                Ok(())
            },
            async {
                send(to_guard, &text).await;
                Ok(())
            },
            async { Ok::<_, StepError>(receive(from_guard).await) },
        )?;
        // The guard has closed its end and is exiting. This wait avoids a zombie process.
        let _ = guard.wait().await;
        if let Some(Report::Shortage(why)) = report {
            return Err(cannot_run(io::Error::other(why)));
        }
        Ok(self.judge(report, &stdout, log.last_lines())?)
    }

    /// Reads all of stdout, up to its limit.
    async fn read(&self, stdout: impl AsyncRead + Unpin) -> Result<Vec<u8>, ProgramError> {
        let mut bytes = Vec::new();
        // An error only means the end of the output; the received bytes are judged.
        let _ = stdout
            .take(MAX_STDOUT as u64 + 1)
            .read_to_end(&mut bytes)
            .await;
        if bytes.len() > MAX_STDOUT {
            return Err(ProgramError::TooMuch {
                program: self.program.clone(),
                limit_kib: MAX_STDOUT >> 10,
            });
        }
        Ok(bytes)
    }

    fn judge(
        &self,
        report: Option<Report>,
        stdout: &[u8],
        stderr: String,
    ) -> Result<Doc, ProgramError> {
        let program = self.program.clone();
        match report {
            None => Err(ProgramError::Unwatched { program }),
            Some(Report::NotStarted(problem) | Report::Shortage(problem)) => {
                Err(ProgramError::NotStarted { program, problem })
            }
            Some(Report::Signalled(signal)) => Err(ProgramError::Signal {
                program,
                signal,
                stderr,
            }),
            Some(Report::Exited(0)) => {
                let text = str::from_utf8(stdout).map_err(|error| error.to_string());
                let doc = text.and_then(|text| json::parse(text).map_err(|e| e.to_string()));
                doc.map_err(|problem| ProgramError::NoJson {
                    program,
                    problem,
                    stderr,
                })
            }
            Some(Report::Exited(status)) => Err(ProgramError::Status {
                program,
                status,
                stderr,
            }),
        }
    }
}

#[async_trait]
impl Agent for SubprocessAgent {
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        let started = Instant::now();
        let output = self.output(&input, cx.step);
        let result = match self.timeout {
            None => output.await,
            // On a timeout the dropped future kills the program.
            Some(limit) => match tokio::time::timeout(limit, output).await {
                Ok(output) => output,
                Err(_) => Err(StepError::from(ProgramError::Timeout {
                    program: self.program.clone(),
                    limit_ms: whole_ms(limit),
                })),
            },
        };
        cx.meter.record(|usage| {
            usage.agent_kind = KIND.to_owned();
            usage.calls += 1;
            usage.duration_ms += whole_ms(started.elapsed());
        });
        result
    }
}

/// Returns the path of the running executable. On Linux, `/proc/self/exe` still works after an
/// upgrade has replaced the file.
fn own_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe().unwrap_or_default()
    }
}

/// Sends the input. Ignores write errors: the guard's report, or its absence, contains the cause.
async fn send(mut guard: impl tokio::io::AsyncWrite + Unpin, text: &str) {
    let length = (text.len() as u64).to_le_bytes();
    if guard.write_all(&length).await.is_ok() {
        let _ = guard.write_all(text.as_bytes()).await;
    }
}

async fn receive(mut guard: impl AsyncRead + Unpin) -> Option<Report> {
    let mut line = String::new();
    guard.read_to_string(&mut line).await.ok()?;
    Report::parse(&line)
}

/// Logs a program's stderr line by line, so that the output of a hanging program is visible. Keeps
/// the last lines.
struct StderrLog<'a> {
    step: &'a str,
    program: &'a str,
    line: Vec<u8>,
    last: std::collections::VecDeque<String>,
    logged: usize,
}

impl<'a> StderrLog<'a> {
    fn new(step: &'a str, program: &'a str) -> Self {
        Self {
            step,
            program,
            line: Vec::new(),
            last: std::collections::VecDeque::new(),
            logged: 0,
        }
    }

    async fn read(&mut self, mut stderr: impl AsyncRead + Unpin) {
        let mut chunk = [0_u8; 8 << 10];
        while let Ok(n @ 1..) = stderr.read(&mut chunk).await {
            for &byte in &chunk[..n] {
                if byte == b'\n' {
                    self.end_line();
                } else if self.line.len() < MAX_LINE {
                    self.line.push(byte);
                }
            }
        }
        self.end_line();
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes).trim().to_owned();
        if line.is_empty() {
            return;
        }
        if self.logged < MAX_LOGGED {
            tracing::info!(
                step = self.step,
                program = self.program,
                stderr = line.as_str()
            );
            self.logged += line.len();
            if self.logged >= MAX_LOGGED {
                tracing::warn!(
                    step = self.step,
                    program = self.program,
                    "more than {} KiB on stderr; the rest is not logged",
                    MAX_LOGGED >> 10
                );
            }
        }
        if self.last.len() == ERROR_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Returns the last lines, joined to one.
    fn last_lines(self) -> String {
        let lines: Vec<String> = self.last.into_iter().collect();
        lines.join(" | ")
    }
}
