//! `doctor`: checks a deployment from a client's point of view, and prints each problem with its
//! remedy.
//!
//! It calls only intake, and changes nothing. A check that depends on a failed one is omitted.

mod certificates;
mod orbits;
pub(super) mod queue;
mod settings;
mod versions;

use std::fmt;
use std::time::SystemTime;

use proto::v1::{
    DeclineIssueRequest, GetQueueStatsRequest, PutBlueprintRequest, SubmitIssueRequest,
};
use serde_json::{Value, json};
use tonic::codegen::http::Uri;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::address::is_loopback;
use crate::args::{Common, Output};
use crate::client::{CliError, Client, ConnectProblem, TimeLimits, diagnose};
use crate::output::{self, Styled};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    Ok,
    Warn,
    Bad,
}

impl Finding {
    fn as_str(self) -> &'static str {
        match self {
            Finding::Ok => "ok",
            Finding::Warn => "warn",
            Finding::Bad => "bad",
        }
    }
}

/// One check.
#[derive(Debug)]
pub(super) struct Check {
    name: &'static str,
    pub(super) finding: Finding,
    found: String,
    /// What to do; empty if nothing.
    remedy: &'static str,
}

impl fmt::Display for Check {
    /// Writes a sentence, as [`shared::store::Warning`] does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.found, self.remedy)
    }
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Finding::Ok, found, "")
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(name, Finding::Warn, found, remedy)
    }

    fn bad(name: &'static str, found: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(name, Finding::Bad, found, remedy)
    }

    fn new(
        name: &'static str,
        finding: Finding,
        found: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self {
            name,
            finding,
            found: found.into(),
            remedy,
        }
    }

    fn json(&self) -> Value {
        json!({ "check": self.name, "finding": self.finding.as_str(), "found": self.found, "remedy": self.remedy })
    }
}

/// Prints the checks. Returns true if no finding is bad.
///
/// # Errors
/// Unusable options, or errors of standard output. Errors of intake are findings.
pub(crate) async fn doctor(options: &Common, format: Output) -> Result<bool, CliError> {
    let checks = examine(options).await?;
    let healthy = checks.iter().all(|check| check.finding != Finding::Bad);
    match format {
        Output::Json => {
            let checks: Vec<Value> = checks.iter().map(Check::json).collect();
            output::json_document(&json!({ "healthy": healthy, "checks": checks }))?;
        }
        Output::Text => {
            for check in &checks {
                let (finding, name) = (check.finding.as_str(), check.name);
                let line = Styled::of(output::status_paint(finding), format_args!("{finding:<5}"));
                output::line(line.plain(format_args!(" {name:<8} {}", check.found)))?;
                if !check.remedy.is_empty() {
                    output::line(format_args!("               → {}", check.remedy))?;
                }
            }
        }
    }
    Ok(healthy)
}

async fn examine(options: &Common) -> Result<Vec<Check>, CliError> {
    let client = match Client::connect(options).await {
        Ok(client) => client,
        Err(error @ CliError::Connect { .. }) => return Ok(vec![unreachable(&error)]),
        Err(error) => return Err(error),
    };
    let mut checks = vec![
        Check::ok("address", format!("{} answers", options.addr)),
        transport(options),
    ];
    let asked = SystemTime::now();
    let mut intake = client.intake.clone();
    // At once, so that a stopped intake costs the time limit of one call.
    let (stats, health) = tokio::join!(
        async {
            let stats = intake.get_queue_stats(GetQueueStatsRequest {}).await;
            (stats, SystemTime::now())
        },
        health(&client),
    );
    let (stats, answered) = stats;
    if let Err(status) = &stats {
        let error = CliError::from(status.clone());
        if let error @ CliError::Connect { .. } = diagnose(options, error).await {
            return Ok(vec![unreachable(&error)]);
        }
        if is_silent(status) {
            checks.push(no_answer(options, health.finding == Finding::Ok));
            checks.push(health);
            return Ok(checks);
        }
    }
    // The time of the reading: half of the round trip after the question.
    let now = asked + answered.duration_since(asked).unwrap_or_default() / 2;
    checks.push(token(options, &client, stats.as_ref().err()).await?);
    checks.push(health);
    match stats {
        Ok(stats) => {
            checks.extend(versions::examine(
                stats.metadata(),
                &stats.get_ref().workers,
            ));
            checks.extend(certificates::examine(options, stats.metadata(), now));
            checks.extend(queue::examine(stats.get_ref(), now));
            checks.extend(settings::examine(&client).await);
        }
        // Reported as a finding about the token, or about health.
        Err(status) if matches!(status.code(), Code::Unauthenticated | Code::Unavailable) => {}
        Err(status) => checks.push(Check::bad(
            "queue",
            format!(
                "intake did not answer: {:?}: {}",
                status.code(),
                status.message()
            ),
            "look at intake's log",
        )),
    }
    Ok(checks)
}

fn unreachable(error: &CliError) -> Check {
    match error {
        CliError::Connect {
            addr,
            problem: ConnectProblem::Unreachable,
            source: Some(source),
        } => Check::bad(
            "address",
            format!(
                "no server answers at {addr}: {}",
                shared::error::chain(source)
            ),
            "start intake or `draftsman up`, or set --addr; for https:// see --ca and --client-cert",
        ),
        other => Check::bad("address", other.to_string(), ""),
    }
}

/// Returns true if a call was not answered within its time limit.
fn is_silent(status: &Status) -> bool {
    matches!(CliError::from(status.clone()), CliError::Status(status) if status.code() == Code::DeadlineExceeded)
}

/// Returns the check for an intake that did not answer.
fn no_answer(options: &Common, is_alive: bool) -> Check {
    let limit = TimeLimits::new(options.timeout).call().unwrap_or_default();
    let silent = format!(
        "GetQueueStats was not answered within {} s",
        limit.as_secs_f64()
    );
    match is_alive {
        true => Check::bad(
            "queue",
            format!("{silent}, while intake answers without Redis"),
            "look at Redis and at intake's log, or give it longer with --timeout",
        ),
        false => Check::bad(
            "queue",
            silent,
            "the process that listens at this address may be stopped or overloaded: look at it, and at its log",
        ),
    }
}

fn transport(options: &Common) -> Check {
    let uri: Uri = options.addr.parse().unwrap_or_default();
    let is_here = is_loopback(uri.host().unwrap_or_default());
    match uri.scheme_str() {
        Some("https") => Check::ok(
            "tls",
            "the connection is encrypted, and intake's certificate is trusted",
        ),
        _ if is_here => Check::ok("tls", "plain text, on this machine only"),
        _ => Check::warn(
            "tls",
            "plain text over the network: tokens and documents can be read in transit",
            "give intake DRAFTSMAN_TLS_CERT and DRAFTSMAN_TLS_KEY, and use https://",
        ),
    }
}

/// Checks whether a token is required, and which scope the given one has. Sends invalid requests:
/// they fail with PERMISSION_DENIED only if the scope of the token is too narrow.
async fn token(
    options: &Common,
    client: &Client,
    refusal: Option<&Status>,
) -> Result<Check, CliError> {
    let given = options
        .token
        .as_ref()
        .is_some_and(|token| !token.trim().is_empty());
    match refusal.map(Status::code) {
        Some(Code::Unauthenticated) if given => {
            return Ok(Check::bad(
                "token",
                "intake does not know the token",
                "take one from the file that intake reads (DRAFTSMAN_TOKENS_FILE)",
            ));
        }
        Some(Code::Unauthenticated) => {
            return Ok(Check::bad(
                "token",
                "intake requires a token, and none was given",
                "set DRAFTSMAN_TOKEN",
            ));
        }
        _ => {}
    }
    let nobody = Common {
        token: None,
        ..options.clone()
    };
    let mut nobody = Client::connect(&nobody).await?.intake;
    let asked = nobody.get_queue_stats(GetQueueStatsRequest {}).await;
    if asked.err().map(|status| status.code()) != Some(Code::Unauthenticated) {
        return Ok(open(options));
    }
    let Client {
        mut blueprints,
        mut intake,
        ..
    } = client.clone();
    let put = blueprints
        .put_blueprint(PutBlueprintRequest::default())
        .await;
    let decline = intake.decline_issue(DeclineIssueRequest::default()).await;
    let submit = intake.submit_issue(SubmitIssueRequest::default()).await;
    let denied =
        |status: Option<Status>| status.is_some_and(|s| s.code() == Code::PermissionDenied);
    let scope = match (
        denied(put.err()),
        denied(decline.err()),
        denied(submit.err()),
    ) {
        (false, _, _) => "admin: everything",
        (true, false, _) => "review: reading, issues and reviews",
        (true, true, false) => "submit: reading and issues",
        (true, true, true) => "read: reading only",
    };
    Ok(Check::ok(
        "token",
        format!("accepted, with the scope {scope}"),
    ))
}

/// Returns the check for an intake that requires no token.
fn open(options: &Common) -> Check {
    match transport(options).finding {
        Finding::Ok if !options.addr.starts_with("https") => {
            Check::ok("token", "not required, on this machine only")
        }
        _ if options.client_cert.is_some() => {
            Check::ok("token", "not required besides the client certificate")
        }
        _ => Check::warn(
            "token",
            "not required: every client that reaches intake may change everything",
            "give intake DRAFTSMAN_TOKENS_FILE",
        ),
    }
}

/// Checks whether intake serves, without a token.
async fn health(client: &Client) -> Check {
    let request = HealthCheckRequest::default();
    let answer = HealthClient::new(client.calls.clone()).check(request).await;
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Check::ok("health", "intake serves, and Redis answers it"),
        Ok(_) => Check::bad(
            "health",
            "intake is not ready: Redis does not answer or is not usable, or intake is stopping",
            "intake's log has the reason; accepted issues are kept in Redis",
        ),
        Err(status) => Check::bad(
            "health",
            format!(
                "intake did not answer: {:?}: {}",
                status.code(),
                status.message()
            ),
            "check that intake listens at this address",
        ),
    }
}
