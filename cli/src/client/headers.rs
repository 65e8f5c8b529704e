//! The headers of every call: the token, the actor and the time limit.

use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use shared::domain::actor::Actor;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{GrpcMethod, Request, Status};

use super::CliError;

/// The characters to encode in the metadata `draftsman-actor`, besides those outside of ASCII.
const ENCODED: AsciiSet = CONTROLS.add(b'%');
/// The time limit of a call without `--timeout`.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The calls that are streams or take as long as a flow. Only `--timeout` limits them.
const LONG_CALLS: [&str; 6] = [
    "ExportBlueprint",
    "ImportBlueprint",
    "PreviewIssue",
    "Watch",
    "WatchBlueprints",
    "WatchIssue",
];
/// The watches. Their callers limit them, because a watch is renewed from time to time.
const WATCHES: [&str; 3] = ["Watch", "WatchBlueprints", "WatchIssue"];

/// The time limits of calls and waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeLimits {
    given: Option<Duration>,
}

impl TimeLimits {
    /// Returns the limits for the value of `--timeout`, of which zero means no limit.
    pub(crate) fn new(given: Option<Duration>) -> Self {
        Self { given }
    }

    /// Returns the limit of a call that is answered at once; `None` without a limit.
    pub(crate) fn call(self) -> Option<Duration> {
        Some(self.given.unwrap_or(CALL_TIMEOUT)).filter(|limit| !limit.is_zero())
    }

    /// Returns the limit of a wait for something that may take any time; `None` without a limit.
    pub(crate) fn wait(self) -> Option<Duration> {
        self.given.filter(|limit| !limit.is_zero())
    }

    fn of_method(self, method: &str) -> Option<Duration> {
        if WATCHES.contains(&method) {
            None
        } else if LONG_CALLS.contains(&method) {
            self.wait()
        } else {
            self.call()
        }
    }
}

/// The headers of every call.
#[derive(Debug, Clone)]
pub(crate) struct CallHeaders {
    /// The token, if one is given.
    authorization: Option<MetadataValue<Ascii>>,
    /// The user of this process, for an intake that authenticates nobody.
    actor: Option<MetadataValue<Ascii>>,
    limits: TimeLimits,
}

impl CallHeaders {
    /// Creates the headers.
    ///
    /// # Errors
    /// [`CliError::Token`].
    pub(crate) fn new(
        token: Option<&str>,
        user: Option<&str>,
        limits: TimeLimits,
    ) -> Result<Self, CliError> {
        Ok(Self {
            authorization: Self::authorization(token)?,
            actor: user.and_then(Self::actor),
            limits,
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
        let method = request.extensions().get::<GrpcMethod<'static>>();
        let method = method.map_or("", GrpcMethod::method);
        // The transport of this process enforces it, too.
        if let Some(limit) = self.limits.of_method(method) {
            request.set_timeout(limit);
        }
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

/// Returns the metadata `draftsman-actor` of the user of this process.
pub(crate) fn user_actor() -> Option<MetadataValue<Ascii>> {
    CallHeaders::actor(&std::env::var("USER").ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_sent_in_ascii_or_not_at_all() {
        let sent = |user| {
            let headers = CallHeaders::new(None, Some(user), TimeLimits::new(None)).unwrap();
            headers
                .actor
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(sent("alice").as_deref(), Some("alice"));
        assert_eq!(sent("Jürgen 100%").as_deref(), Some("J%C3%BCrgen 100%25"));
        assert_eq!(sent(""), None);
        assert_eq!(sent("a\nb"), None);
    }

    #[test]
    fn a_call_has_a_limit_and_a_watch_has_none() {
        let sent = |given, method| {
            let limits = TimeLimits::new(given);
            let mut headers = CallHeaders::new(None, None, limits).unwrap();
            let mut request = Request::new(());
            request
                .extensions_mut()
                .insert(GrpcMethod::new("enhance.v1.IntakeService", method));
            let request = headers.call(request).unwrap();
            let value = request.metadata().get("grpc-timeout");
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let minute = Some(Duration::from_secs(60));
        let none = Some(Duration::ZERO);
        for (given, method, header) in [
            (None, "GetIssue", Some("10000000u")),
            (None, "PreviewIssue", None),
            (None, "WatchIssue", None),
            (minute, "GetIssue", Some("60000000u")),
            (minute, "PreviewIssue", Some("60000000u")),
            (minute, "WatchBlueprints", None),
            (none, "GetIssue", None),
            (none, "PreviewIssue", None),
        ] {
            assert_eq!(sent(given, method).as_deref(), header, "{given:?} {method}");
        }
    }
}
