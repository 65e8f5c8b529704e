//! The connection to intake, and the errors of the CLI.

use std::env;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use proto::v1::blueprint_service_client::BlueprintServiceClient;
use proto::v1::enhance_log_service_client::EnhanceLogServiceClient;
use proto::v1::intake_service_client::IntakeServiceClient;
use proto::v1::setting_service_client::SettingServiceClient;
use shared::domain::actor::Actor;
use thiserror::Error;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::args::Common;
use crate::contexts::ContextError;
use crate::output;
use crate::up::UpError;
use crate::verbs::backup::BackupError;
use crate::verbs::edit::EditError;

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest accepted response: a Blueprint of 1 MiB as YAML and as JSON, which may escape much of
/// it.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Length of a line about a candidate.
const CANDIDATE_WIDTH: usize = 100;

/// The characters to encode in the metadata `draftsman-actor`, besides those outside of ASCII.
const ENCODED: AsciiSet = CONTROLS.add(b'%');

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
    #[error(
        "no intake answers at {addr}; start one with `draftsman up`, or set --addr or DRAFTSMAN_ADDR"
    )]
    Connect {
        /// The address of intake.
        addr: String,
        /// The error of the transport.
        source: tonic::transport::Error,
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

/// What an ambiguous argument may mean.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The id or version.
    pub(crate) id: String,
    /// A description, which is cut to the line.
    pub(crate) about: String,
}

impl Candidate {
    /// Returns a line for each candidate, each after a line break.
    fn lines(candidates: &[Self], has_more: bool) -> String {
        let lines = candidates.iter().map(|Self { id, about }| {
            let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
            format!(
                "\n  {}",
                output::cut(&format!("{id}  {about}"), CANDIDATE_WIDTH)
            )
        });
        let end = if has_more { "\n  …" } else { "" };
        lines.chain([end.to_owned()]).collect()
    }
}

/// Returns how to find the right id of a Blueprint.
fn did_you_mean(near: Option<&str>) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`draftsman get --archived` lists the Blueprints".to_owned(),
    }
}

impl CliError {
    /// Returns a name of the error for programs, in the style of the reasons of intake.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } | Self::ProbeAddress { .. } => "INVALID_ADDRESS",
            Self::Token => "INVALID_TOKEN",
            Self::Connect { .. } => "NOT_CONNECTED",
            Self::Status(_) | Self::Answer { .. } => "UNEXPECTED_ANSWER",
            Self::Read { .. } => "UNREADABLE_FILE",
            Self::Write(_) | Self::WriteFile { .. } => "UNWRITABLE_FILE",
            Self::Setting { .. } => "INVALID_SETTING",
            Self::Model { .. } => "UNKNOWN_PROVIDER",
            Self::TryAxis(_) => "NO_VERDICT",
            Self::DamagedExport { .. } | Self::ImportRefused { .. } => "DAMAGED_EXPORT",
            Self::NoSuchVersion { .. } | Self::NoVersionBefore { .. } => "VERSION_NOT_FOUND",
            Self::NoSuchBlueprint { .. } => "BLUEPRINT_NOT_FOUND",
            Self::AmbiguousVersion { .. } => "AMBIGUOUS_VERSION",
            Self::AmbiguousIssue { .. } => "AMBIGUOUS_ISSUE",
            Self::NotConfirmed => "NOT_CONFIRMED",
            Self::FolderInUse { .. } | Self::Folder { .. } => "UNUSABLE_FOLDER",
            Self::Run { .. } => "COMMAND_FAILED",
            Self::Up(_) => "UP_FAILED",
            Self::NewId { .. } => "INVALID_ID",
            Self::Context(_) => "UNUSABLE_CONTEXT",
            Self::Edit(_) => "NOT_WRITTEN",
            Self::Backup(_) => "NOT_COPIED",
        }
    }
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// A connection that sends the token and the actor with every call.
pub(crate) type Calls = InterceptedService<Channel, CallHeaders>;

/// The headers of every call.
#[derive(Debug, Clone)]
pub(crate) struct CallHeaders {
    /// The token, if one is given.
    authorization: Option<MetadataValue<Ascii>>,
    /// The user of this process, for an intake that authenticates nobody.
    actor: Option<MetadataValue<Ascii>>,
}

impl CallHeaders {
    fn new(token: Option<&str>, user: Option<&str>) -> Result<Self, CliError> {
        Ok(Self {
            authorization: Self::authorization(token)?,
            actor: user.and_then(Self::actor),
        })
    }

    /// Returns the header of a user; `None` for a name that is not a valid actor.
    fn actor(user: &str) -> Option<MetadataValue<Ascii>> {
        let actor = Actor::parse(user).ok()?;
        let encoded = utf8_percent_encode(actor.as_str(), &ENCODED);
        encoded.to_string().parse().ok()
    }

    /// Returns the header of a token. An empty token counts as absent.
    fn authorization(token: Option<&str>) -> Result<Option<MetadataValue<Ascii>>, CliError> {
        let Some(token) = token.map(str::trim).filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| CliError::Token)?;
        // Keeps the token out of debug output of a request.
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Interceptor for CallHeaders {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(value) = &self.authorization {
            metadata.insert("authorization", value.clone());
        }
        if let Some(value) = &self.actor {
            metadata.insert("draftsman-actor", value.clone());
        }
        Ok(request)
    }
}

/// The services of intake, over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
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
        let headers = CallHeaders::new(options.token.as_deref(), user.as_deref())?;
        let addr = &options.addr;
        let endpoint = Endpoint::from_shared(addr.to_owned())
            .ok()
            .filter(|endpoint| endpoint.uri().scheme().is_some() && endpoint.uri().host().is_some())
            .ok_or_else(|| CliError::Address {
                addr: addr.to_owned(),
            })?
            .connect_timeout(CONNECT_TIMEOUT);
        let endpoint = match endpoint.uri().scheme_str() {
            Some("https") => {
                endpoint
                    .tls_config(tls(options)?)
                    .map_err(|source| CliError::Connect {
                        addr: addr.clone(),
                        source,
                    })?
            }
            _ => endpoint,
        };
        let channel = endpoint
            .connect()
            .await
            .map_err(|source| CliError::Connect {
                addr: addr.to_owned(),
                source,
            })?;
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
            calls,
        })
    }
}

/// Returns the trusted CA and the client certificate.
fn tls(options: &Common) -> Result<ClientTlsConfig, CliError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| CliError::Read {
            path: path.clone(),
            source,
        })
    };
    let mut config = match &options.ca {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (&options.client_cert, &options.client_key) {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(config)
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

    #[test]
    fn a_user_is_sent_in_ascii_or_not_at_all() {
        let sent = |user| {
            let headers = CallHeaders::new(None, Some(user)).unwrap();
            headers
                .actor
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(sent("alice").as_deref(), Some("alice"));
        assert_eq!(sent("Jürgen 100%").as_deref(), Some("J%C3%BCrgen 100%25"));
        assert_eq!(sent(""), None);
        assert_eq!(sent("a\nb"), None);
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
            output: crate::args::Output::Text,
        };
        let refused = Client::connect(&options).await.unwrap_err();
        assert!(matches!(refused, CliError::Address { addr } if addr == "not an address"));
    }
}
