//! A layer around all services that checks the token, determines the actor, limits the time and
//! starts the trace span.
//!
//! Because it wraps every service, no handler can skip it. It reads only the path and the headers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use shared::domain::actor::Actor;
use shared::domain::issue::{Authority, Caller};
use shared::domain::trace_parent::TraceParent;
use shared::telemetry::trace;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Extensions, Status};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument;

use crate::edge::actor;
use crate::edge::tls::Tls;
use crate::edge::tls_stream::PeerInfo;
use crate::edge::tokens::TokensFile;
use crate::error::request_error::RequestError;
use crate::rpc::{Need, Rpc, TimeLimit, need};
use crate::scope::Scope;

/// Time limit of a call. A longer call has lost its client: every store call times out within
/// seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Header with the version of intake, read by `draftsman doctor`. Only authorized callers get it.
const VERSION_HEADER: HeaderName = HeaderName::from_static("draftsman-version");
const VERSION: HeaderValue = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));

/// Header with the time at which the certificate of intake expires, in seconds since the epoch, for
/// `draftsman doctor`.
const EXPIRES_HEADER: HeaderName = HeaderName::from_static("draftsman-certificate-expires");

/// The layer. Without a tokens file every caller has every scope.
#[derive(Debug, Clone)]
pub(crate) struct AuthLayer {
    tokens: Option<TokensFile>,
    tls: Option<Tls>,
    answer_within: Duration,
}

impl AuthLayer {
    pub(crate) fn new(tokens: Option<TokensFile>, tls: Option<Tls>) -> Self {
        Self {
            tokens,
            tls,
            answer_within: ANSWER_WITHIN,
        }
    }

    /// Returns the scope of a call, and the name of its token. Without a tokens file the scope is
    /// [`Scope::Admin`].
    fn check(
        &self,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(Scope, Option<Actor>), RequestError> {
        let Some(tokens) = &self.tokens else {
            return Ok((Scope::Admin, None));
        };
        let Need::AtLeast(needed) = need(path) else {
            return Ok((Scope::Read, None));
        };
        let token = bearer(headers).ok_or(RequestError::NoToken)?;
        match tokens.now().find(token) {
            None => Err(RequestError::UnknownToken),
            Some((scope, _)) if scope < needed => {
                Err(RequestError::ScopeTooNarrow { needed, scope })
            }
            Some(found) => Ok(found),
        }
    }

    /// Returns whether callers are authenticated: by a token or a client certificate.
    fn authenticates(&self) -> bool {
        let tls = self.tls.as_ref();
        self.tokens.is_some() || tls.is_some_and(Tls::wants_client_certificates)
    }

    /// Returns the actor of a call whose token has this name.
    fn actor(
        &self,
        token_name: Option<Actor>,
        request: &http::Request<Body>,
    ) -> Result<Actor, RequestError> {
        if !self.authenticates() {
            return actor::claimed(request.headers());
        }
        let peer = request.extensions().get::<PeerInfo>();
        let name = token_name.or_else(|| peer?.certificate_name.clone());
        Ok(name.unwrap_or_else(Actor::anonymous))
    }
}

/// The caller of a review.
#[derive(Debug, Clone)]
pub(crate) struct Reviewer {
    /// The actor of the call.
    pub(crate) actor: Actor,
    /// True if intake has verified who the actor is.
    pub(crate) is_authenticated: bool,
}

/// Whether the actor of a call is verified and not only claimed.
#[derive(Debug, Clone, Copy)]
struct IsAuthenticated(bool);

/// Returns the reviewer of a call. A call that bypassed the layer is anonymous.
pub(crate) fn reviewer(extensions: &Extensions) -> Reviewer {
    let verified = extensions.get::<IsAuthenticated>();
    Reviewer {
        actor: actor(extensions),
        is_authenticated: verified.is_some_and(|verified| verified.0),
    }
}

/// Returns the authority with which a call acts. A call that bypassed the layer has the least.
pub(crate) fn authority(extensions: &Extensions) -> Authority {
    match extensions.get::<Scope>() {
        Some(Scope::Admin) => Authority::Admin,
        _ => Authority::Submitter,
    }
}

/// Returns the actor of a call. A call that bypassed the layer is anonymous.
pub(crate) fn actor(extensions: &Extensions) -> Actor {
    let found = extensions.get::<Actor>().cloned();
    found.unwrap_or_else(Actor::anonymous)
}

/// Returns the actor of a call and the authority with which it acts.
pub(crate) fn caller(extensions: &Extensions) -> Caller {
    Caller {
        actor: actor(extensions),
        authority: authority(extensions),
    }
}

/// Returns the token of `authorization: Bearer <token>`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Returns the trace context of the caller.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    TraceParent::parse(headers.get("traceparent")?.to_str().ok()?)
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService {
            auth_layer: self.clone(),
            inner,
        }
    }
}

/// A service wrapped by the [`AuthLayer`].
#[derive(Debug, Clone)]
pub(crate) struct AuthService<S> {
    auth_layer: AuthLayer,
    inner: S,
}

impl<S> Service<http::Request<Body>> for AuthService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let checked = self
            .auth_layer
            .check(request.uri().path(), request.headers());
        let (scope, token_name) = match checked {
            Ok(checked) => checked,
            Err(error) => return refused(&request, error, "token"),
        };
        let actor = match self.auth_layer.actor(token_name, &request) {
            Ok(actor) => actor,
            Err(error) => return refused(&request, error, "actor"),
        };
        request.extensions_mut().insert(scope);
        // A token or a certificate without a name does not say who the caller is.
        let is_named = self.auth_layer.authenticates() && actor != Actor::anonymous();
        request.extensions_mut().insert(IsAuthenticated(is_named));
        request.extensions_mut().insert(actor);
        let path = request.uri().path();
        // A watch of health, and reflection, last as long as their clients.
        let has_own_limit = Rpc::of_path(path).is_none_or(|rpc| rpc.time_limit() == TimeLimit::Own);
        let span = tracing::debug_span!(target: trace::TARGET, "call", otel.name = path.trim_start_matches('/'), otel.kind = "server");
        if let Some(parent) = traceparent(request.headers()) {
            trace::continue_from(&span, &parent);
        }
        let answer_within = self.auth_layer.answer_within;
        let expires_secs = self.auth_layer.tls.as_ref().and_then(Tls::expires_secs);
        let answering = self.inner.call(request).instrument(span);
        Box::pin(async move {
            let answer = if has_own_limit {
                answering.await?
            } else {
                match timeout(answer_within, answering).await {
                    Ok(answer) => answer?,
                    Err(_) => return Ok(Status::from(RequestError::TooSlow).into_http()),
                }
            };
            let mut answer = explain_size(answer);
            answer.headers_mut().insert(VERSION_HEADER, VERSION);
            if let Some(secs) = expires_secs {
                let headers = answer.headers_mut();
                headers.insert(EXPIRES_HEADER, HeaderValue::from(secs));
            }
            Ok(answer)
        })
    }
}

/// Returns the response to a call that no service sees, and counts it.
fn refused<E: Send + 'static>(
    request: &http::Request<Body>,
    error: RequestError,
    why: &'static str,
) -> Pin<Box<dyn Future<Output = Result<http::Response<Body>, E>> + Send>> {
    let path = request.uri().path();
    metrics::counter!("draftsman_intake_refused_total", "why" => why).increment(1);
    tracing::debug!(path, %error, "call refused");
    let answer = Status::from(error).into_http();
    Box::pin(std::future::ready(Ok(answer)))
}

/// Adds details to tonic's OUT_OF_RANGE, which it returns for a request above the size limit.
/// Nothing else here returns OUT_OF_RANGE.
fn explain_size(answer: http::Response<Body>) -> http::Response<Body> {
    let refused = |status: &Status| status.code() == Code::OutOfRange;
    match Status::from_header_map(answer.headers()) {
        Some(status) if refused(&status) => Status::from(RequestError::TooLarge).into_http(),
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that never responds.
    struct Never;

    impl Service<http::Request<Body>> for Never {
        type Response = http::Response<Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            std::future::pending()
        }
    }

    #[tokio::test]
    async fn a_call_that_never_ends_is_ended() {
        let auth_layer = AuthLayer {
            tokens: None,
            tls: None,
            answer_within: Duration::from_millis(1),
        };
        let mut request = http::Request::new(Body::empty());
        *request.uri_mut() = "/enhance.v1.IntakeService/GetIssue".parse().unwrap();
        let answer = auth_layer.layer(Never).call(request).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_only_bearer_counts() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), expected.map(str::as_bytes), "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
