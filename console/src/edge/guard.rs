//! The guard around every page: it checks where a request comes from and who sends it, reads
//! forms, and turns failures into pages. No handler can skip it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use crate::app::App;
use crate::calls::{Asker, Scope};
use crate::edge::fields::{FORM_TOKEN, Fields};
use crate::edge::sessions::{LASTS, Session};
use crate::edge::{form_token, headers};
use crate::failure::Failure;
use crate::pages::{problem, sign_in};

/// The cookie of a person who signed in. Sent for requests of our own pages only.
pub(crate) const SESSION_COOKIE: &str = "draftsman_session";
/// The cookie of a browser, for the tokens in its forms.
const FORM_COOKIE: &str = "draftsman_form";
/// Largest form: a document of 1 MiB, whose characters can be three bytes each in a form.
const MAX_FORM_BYTES: usize = 4 << 20;
/// Time limit for the body of a form.
const FORM_WITHIN: Duration = Duration::from_secs(15);

/// The person at the browser.
#[derive(Clone)]
pub(crate) struct Viewer {
    app: Arc<App>,
    session: Option<(String, Arc<Session>)>,
    form_id: String,
    /// The path and the query of the request.
    pub(crate) at: String,
}

impl Viewer {
    /// Returns what asks intake on behalf of this person.
    pub(crate) fn asker(&self) -> Result<Asker, Failure> {
        let token = self.session.as_ref().map(|(_, session)| &*session.token);
        self.app.intake.asker(token)
    }

    /// Returns true if this person can do what needs `scope`. Where intake wants no token,
    /// everybody can do everything.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scope().is_none_or(|own| own >= scope)
    }

    /// Returns the scope of a person who signed in.
    pub(crate) fn scope(&self) -> Option<Scope> {
        self.session.as_ref().map(|(_, session)| session.scope)
    }

    /// Returns the id of the session.
    pub(crate) fn session_id(&self) -> Option<&str> {
        self.session.as_ref().map(|(id, _)| &**id)
    }

    /// Returns a token for the forms of a page.
    pub(crate) fn form_token(&self) -> String {
        let token = self.app.form_key.token(&self.form_id, self.session_id());
        token.unwrap_or_default()
    }
}

/// Checks a request, lets a handler answer it, and completes the answer.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let gzip = headers::accepts_gzip(request.headers());
    let given_form_id = cookie(request.headers(), FORM_COOKIE).filter(|id| is_id(id));
    let form_id = match &given_form_id {
        Some(id) => id.clone(),
        None => match form_token::random() {
            Ok(id) => hex::encode(id),
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
    };
    let session = cookie(request.headers(), SESSION_COOKIE)
        .and_then(|id| app.sessions.find(&id).map(|session| (id, session)));
    let at = request.uri().path_and_query().map(ToString::to_string);
    let viewer = Viewer {
        app: Arc::clone(&app),
        session,
        form_id: form_id.clone(),
        at: at.unwrap_or_default(),
    };
    let from_elsewhere = is_link_from_elsewhere(&request);
    let is_post = request.method() == Method::POST;
    let answered = async {
        check_origin(&app, &request)?;
        if is_post {
            let fields = read_form(&mut request).await?;
            let token = fields.get(FORM_TOKEN).unwrap_or_default();
            let is_ours = given_form_id.is_some()
                && app.form_key.accepts(token, &form_id, viewer.session_id());
            if !is_ours {
                return Err(Failure::Forged(
                    "The form is not from a page of this console, or the page is too old. Load the page again.",
                ));
            }
            request.extensions_mut().insert(fields);
        }
        request.extensions_mut().insert(viewer.clone());
        Ok(next.run(request).await)
    };
    let mut response = match answered.await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = match failure {
            // A link from elsewhere comes without the cookie of the session. The reload has it.
            Failure::SignIn if from_elsewhere => problem::reload(),
            Failure::SignIn => sign_in::ask(&viewer, is_post),
            failure => problem::page(&viewer, &failure),
        };
    }
    // A person without a cookie for forms gets one with the first page.
    if given_form_id.is_none() && !response.headers().contains_key(SET_COOKIE) {
        set_cookie(&app, response.headers_mut(), FORM_COOKIE, &form_id, "Lax");
    }
    headers::protect(response.headers_mut());
    if gzip {
        response = headers::compress(response).await;
    }
    response
}

/// Refuses a request for a foreign name, and a form of a foreign page.
fn check_origin(app: &App, request: &Request) -> Result<(), Failure> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let host = text(HOST).unwrap_or_default();
    if !app.hosts.accepts(host) {
        return Err(Failure::Forged(
            "The console does not answer under this name. `draftsman console --public-host NAME` adds a name.",
        ));
    }
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        Method::POST => {
            // Browsers send the origin with every form (Fetch, "append a request `Origin` header").
            let origin = text(ORIGIN).unwrap_or_default();
            let origin_host = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"));
            if origin_host.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
                return Ok(());
            }
            Err(Failure::Forged("The form is from another site."))
        }
        _ => Err(Failure::Method),
    }
}

/// Reads the form, within a limit of size and time.
async fn read_form(request: &mut Request) -> Result<Fields, Failure> {
    let body = std::mem::replace(request.body_mut(), Body::empty());
    let reading = Limited::new(body, MAX_FORM_BYTES).collect();
    match timeout(FORM_WITHIN, reading).await {
        Ok(Ok(body)) => Ok(Fields::parse(&body.to_bytes())),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Failure::TooLarge),
        _ => Err(Failure::Field(
            "the form did not arrive completely".to_owned(),
        )),
    }
}

/// Returns true for a link on a page of another site, which browsers send without strict cookies.
fn is_link_from_elsewhere(request: &Request) -> bool {
    let is = |name, expected: &str| {
        let value = request.headers().get(name);
        value.is_some_and(|value: &HeaderValue| value == expected)
    };
    request.method() == Method::GET
        && (is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site"))
        && is("sec-fetch-mode", "navigate")
}

fn is_id(text: &str) -> bool {
    text.len() == 2 * form_token::BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the value of a cookie.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let given = headers.get_all(COOKIE).iter();
    let texts = given.filter_map(|value| value.to_str().ok());
    let mut pairs = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(given, _)| given.trim() == name);
    found.map(|(_, value)| value.trim().to_owned())
}

fn set_cookie(app: &App, headers: &mut HeaderMap, name: &str, value: &str, same_site: &str) {
    let secure = if app.hosts.is_https() { "; Secure" } else { "" };
    let lasts = if value.is_empty() { 0 } else { LASTS.as_secs() };
    let text =
        format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={lasts}{secure}");
    if let Ok(value) = text.parse() {
        headers.append(SET_COOKIE, value);
    }
}

/// Returns a redirect to `to` that starts a session, or ends it if `session_id` is empty.
pub(crate) fn redirect_with_session(app: &App, to: &str, session_id: &str) -> Response {
    let mut response = see_other(to);
    set_cookie(
        app,
        response.headers_mut(),
        SESSION_COOKIE,
        session_id,
        "Strict",
    );
    response
}

/// Returns a redirect after a form, to a path of this console.
pub(crate) fn see_other(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}
