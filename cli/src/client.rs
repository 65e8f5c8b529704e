//! The connection to intake, and the errors of the CLI.

mod candidate;
mod connection;
mod headers;

use std::env;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use proto::v1::blueprint_service_client::BlueprintServiceClient;
use proto::v1::enhance_log_service_client::EnhanceLogServiceClient;
use proto::v1::intake_service_client::IntakeServiceClient;
use proto::v1::setting_service_client::SettingServiceClient;
use thiserror::Error;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

pub(crate) use self::candidate::Candidate;
pub(crate) use self::connection::{ConnectProblem, diagnose, lazy_endpoint};
use self::headers::CallHeaders;
pub(crate) use self::headers::{TimeLimits, user_actor};
use crate::args::Common;
use crate::contexts::ContextError;
use crate::up::UpError;
use crate::verbs::backup::BackupError;
use crate::verbs::edit::EditError;

/// Largest accepted response: a Blueprint of 1 MiB as YAML and as JSON, which may escape much of
/// it.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Why a verb ended with status 1.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// `--addr` is invalid.
    #[error(
        "`{addr}` is not a valid address of a gRPC server; write it as http://127.0.0.1:50051 (--addr or DRAFTSMAN_ADDR)"
    )]
    Address {
        /// The given address.
        addr: String,
    },
    /// The token has characters that are invalid in a header.
    #[error("the token has characters that cannot be sent (--token or DRAFTSMAN_TOKEN)")]
    Token,
    /// `--metrics-listen` is not an address to connect to.
    #[error(
        "`{given}` is not a valid address of probes; give the one on which intake or worker listens, such as 127.0.0.1:9464 \
         (--metrics-listen or DRAFTSMAN_METRICS_LISTEN)"
    )]
    ProbeAddress {
        /// The given address.
        given: String,
    },
    /// The connection failed.
    #[error("{}", .problem.sentence(.addr))]
    Connect {
        /// The address of intake.
        addr: String,
        /// What is wrong with it.
        problem: ConnectProblem,
        /// The error of the transport.
        source: Option<Box<tonic::transport::Error>>,
    },
    /// Ctrl-C ended the wait for a decision.
    #[error(
        "stopped waiting; the issue goes on: `draftsman watch {issue_id}` follows it, `draftsman cancel {issue_id}` \
         cancels it"
    )]
    Interrupted {
        /// The issue.
        issue_id: String,
    },
    /// Ctrl-C ended the wait for the judgement of a decided issue.
    #[error("interrupted; the issue is decided: `draftsman log {issue_id}` shows the judgement")]
    NotShown {
        /// The issue.
        issue_id: String,
    },
    /// Ctrl-C called a preview off.
    #[error("the preview is called off; nothing was changed")]
    PreviewInterrupted,
    /// The issue was not decided within `--timeout`.
    #[error(
        "the issue is not decided after {} s; it goes on: `draftsman watch {issue_id}` follows it",
        .waited.as_secs_f64()
    )]
    NotDecided {
        /// The issue.
        issue_id: String,
        /// How long it was watched.
        waited: Duration,
    },
    /// Intake returned an error.
    #[error("{}", explain(.0))]
    Status(Box<Status>),
    /// A response lacks a required field.
    #[error("intake's response has no `{field}`; use the same version of intake and draftsman")]
    Answer {
        /// The missing field.
        field: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not a valid setting.
    #[error("{} is not a valid setting: {problem}", .path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// Invalid model, or a provider that workers do not support.
    #[error("{given:?} is not of the form PROVIDER/MODEL; known providers are {}", .providers.join(", "))]
    Model {
        /// The given model.
        given: String,
        /// The supported providers.
        providers: Vec<String>,
    },
    /// The verifier returned no verdict.
    #[error("the script returned no verdict")]
    TryAxis(#[from] worker::flow::TryAxisError),
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Write(#[from] io::Error),
    /// The file of an export cannot be written.
    #[error("cannot write {}", .path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A certificate cannot be created.
    #[error("cannot create the certificates; check the names")]
    Certificate(#[source] rcgen::Error),
    /// A file that would be overwritten.
    #[error("{} exists; give another directory, or remove it first", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a complete export.
    #[error("{}, line {line}: {problem}; nothing was imported", .path.display())]
    DamagedExport {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The problem.
        problem: String,
    },
    /// Intake refused a commit of the file.
    #[error("{} was refused; nothing was imported (message N is in line N + 1)", .path.display())]
    ImportRefused {
        /// The file.
        path: PathBuf,
        /// The error of intake.
        source: Box<CliError>,
    },
    /// The argument matches no version.
    #[error(
        "{blueprint_id} has no version `{given}`; `draftsman history {blueprint_id}` lists its versions"
    )]
    NoSuchVersion {
        /// The Blueprint.
        blueprint_id: String,
        /// The argument.
        given: String,
    },
    /// The argument matches several versions.
    #[error(
        "`{given}` matches several versions of {blueprint_id}; give more digits{}", Candidate::lines(.candidates, false)
    )]
    AmbiguousVersion {
        /// The Blueprint.
        blueprint_id: String,
        /// The argument.
        given: String,
        /// Versions that match.
        candidates: Vec<Candidate>,
    },
    /// The argument matches several issues.
    #[error(
        "`{given}` matches several issues; give more characters{}", Candidate::lines(.candidates, *.has_more)
    )]
    AmbiguousIssue {
        /// The argument.
        given: String,
        /// Issues that match.
        candidates: Vec<Candidate>,
        /// True if other issues match, too.
        has_more: bool,
    },
    /// No Blueprint has the id.
    #[error("no Blueprint has the id `{given}`; {}", did_you_mean(.near.as_deref()))]
    NoSuchBlueprint {
        /// The given id.
        given: String,
        /// A Blueprint with nearly this id.
        near: Option<String>,
    },
    /// The channel has no version before its last move.
    #[error(
        "channel {channel} of {blueprint_id} has no version before its last move; \
         `draftsman channels {blueprint_id} --moves` lists the moves"
    )]
    NoVersionBefore {
        /// The Blueprint.
        blueprint_id: String,
        /// The channel.
        channel: String,
    },
    /// The question was not answered with yes.
    #[error("nothing was changed; answer y, or give --yes")]
    NotConfirmed,
    /// A decline needs a reason.
    #[error("nothing was decided; a decline needs a reason")]
    NoReason,
    /// The arguments of `approve` name another proposal than the present one.
    #[error(
        "nothing was approved: issue {issue_id} proposes version {version} on base {base}; \
         `draftsman review {issue_id}` shows it"
    )]
    OtherProposal {
        /// The issue.
        issue_id: String,
        /// The first digits of the proposed version.
        version: String,
        /// The first digits of its base.
        base: String,
    },
    /// The head has moved from the base of the approved proposal.
    #[error(
        "nothing was committed: the head has moved; the change is verified on the new head, then \
         `draftsman review {issue_id}` shows it again"
    )]
    BaseMoved {
        /// The issue.
        issue_id: String,
    },
    /// The approved proposal is not the present one.
    #[error(
        "nothing was committed: the issue has another proposal by now; `draftsman review {issue_id}` shows it"
    )]
    ProposalChanged {
        /// The issue.
        issue_id: String,
    },
    /// Another process keeps the folder up to date.
    #[error("another `draftsman sync` uses {}; give each its own folder", .dir.display())]
    FolderInUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A folder cannot be created or locked.
    #[error("cannot use the folder {}", .dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The command of `--run` cannot be started.
    #[error("cannot run {command:?}")]
    Run {
        /// The command.
        command: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A public host of the console is invalid.
    #[error(transparent)]
    PublicHost(#[from] console::InvalidHost),
    /// The console failed to start.
    #[error("the console failed")]
    Console(#[from] console::StartError),
    /// The signal handlers cannot be installed.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    /// The id of a new Blueprint is invalid.
    #[error("`{given}` cannot be the id of the new Blueprint: {problem}")]
    NewId {
        /// The given id.
        given: String,
        /// The problem.
        problem: String,
    },
    /// A context cannot be used, or the file of contexts cannot be changed.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// An edited text was not written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A store was not copied.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// `up` failed to start or to end cleanly.
    #[error(transparent)]
    Up(#[from] UpError),
}

/// Returns how to find the right id of a Blueprint.
fn did_you_mean(near: Option<&str>) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`draftsman get --archived` lists the Blueprints".to_owned(),
    }
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        if is_late(&status) {
            return Self::Status(Box::new(Status::deadline_exceeded(LATE)));
        }
        Self::Status(Box::new(status))
    }
}

/// The error reason of a change that the bundled spawner does not understand.
const NOT_UNDERSTOOD: &str = "NOT_UNDERSTOOD";
/// The message of a call whose time limit has passed.
const LATE: &str = "intake did not answer in time; ask `draftsman doctor`, or give it longer with --timeout. \
                    A change may still happen";

/// Returns true if the transport of this process or of intake ended the call at its time limit.
fn is_late(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == TimeoutExpired(()).to_string()
}

/// A connection that sends the token, the actor and the time limit with every call.
pub(crate) type Calls = InterceptedService<Channel, CallHeaders>;

/// The services of intake, over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The time limits of calls and waits.
    pub(crate) limits: TimeLimits,
    /// The connection itself.
    pub(crate) calls: Calls,
    /// Issues and the queue.
    pub(crate) intake: IntakeServiceClient<Calls>,
    /// Blueprints and their history.
    pub(crate) blueprints: BlueprintServiceClient<Calls>,
    /// Settings.
    pub(crate) settings: SettingServiceClient<Calls>,
    /// The enhance log.
    pub(crate) log: EnhanceLogServiceClient<Calls>,
}

impl Client {
    /// Connects to the intake of the options.
    ///
    /// # Errors
    /// [`CliError::Address`], [`CliError::Connect`]. [`CliError::Read`] and [`CliError::Token`] for
    /// invalid credentials.
    pub(crate) async fn connect(options: &Common) -> Result<Self, CliError> {
        let user = env::var("USER").ok();
        let limits = TimeLimits::new(options.timeout);
        let headers = CallHeaders::new(options.token.as_deref(), user.as_deref(), limits)?;
        let channel = connection::open(options).await?;
        let calls = InterceptedService::new(channel, headers);
        Ok(Self {
            intake: IntakeServiceClient::new(calls.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            blueprints: BlueprintServiceClient::new(calls.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES)
                .max_encoding_message_size(MAX_ANSWER_BYTES),
            settings: SettingServiceClient::new(calls.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES)
                .max_encoding_message_size(MAX_ANSWER_BYTES),
            log: EnhanceLogServiceClient::new(calls.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES),
            limits,
            calls,
        })
    }
}

/// Formats a status: its message, then each detail on its own line.
fn explain(status: &Status) -> String {
    let mut text = format!("{}: {}", code_name(status.code()), status.message());
    let details = status.get_error_details();
    if let Some(bad_request) = details.bad_request() {
        for violation in &bad_request.field_violations {
            // The message often includes the description; then only the field name is new.
            if status.message().contains(&violation.description) {
                text.push_str(&format!("\n  field: {}", violation.field));
            } else {
                text.push_str(&format!(
                    "\n  {}: {}",
                    violation.field, violation.description
                ));
            }
        }
    }
    if let Some(info) = details.error_info() {
        text.push_str(&format!("\n  reason: {}", info.reason));
        if info.reason == NOT_UNDERSTOOD {
            text.push_str("\n  correct the change, or submit it nevertheless with --unchecked");
        }
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.sort();
        for (name, value) in metadata {
            text.push_str(&format!("\n  {name}: {value}"));
        }
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        text.push_str(&format!("\n  try again in {:.1} s", delay.as_secs_f64()));
    }
    text
}

/// Returns the name of a status code as in the gRPC documentation.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_status_is_explained_with_its_details() {
        let mut details =
            ErrorDetails::with_bad_request_violation("intent", "has 0 bytes; the limit is 64 KiB");
        details.set_error_info(
            "INVALID_ISSUE",
            "draftsman",
            [("issue_id".to_owned(), "i-1".to_owned())],
        );
        details.set_retry_info(Some(Duration::from_millis(1500)));
        let status =
            Status::with_error_details(Code::InvalidArgument, "the issue is refused", details);
        assert_eq!(
            explain(&status),
            "INVALID_ARGUMENT: the issue is refused\n  intent: has 0 bytes; the limit is 64 KiB\n  \
             reason: INVALID_ISSUE\n  issue_id: i-1\n  try again in 1.5 s"
        );
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused_by_name() {
        let options = Common {
            addr: "not an address".to_owned(),
            context: None,
            token: None,
            ca: None,
            client_cert: None,
            client_key: None,
            timeout: None,
            output: crate::args::Output::Text,
        };
        let refused = Client::connect(&options).await.unwrap_err();
        assert!(matches!(refused, CliError::Address { addr } if addr == "not an address"));
    }
}
