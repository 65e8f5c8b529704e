//! Signing in with a token, and out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use crate::app::App;
use crate::edge::fields::Fields;
use crate::edge::guard::{Viewer, redirect_with_session};
use crate::failure::Failure;
use crate::view::layout::{self, Place, token};

/// Longest token, in bytes. Intake accepts no larger headers.
const MAX_TOKEN_BYTES: usize = 4_096;

/// Shows the form.
pub(crate) async fn show(Extension(viewer): Extension<Viewer>, request: Request) -> Response {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    form(&viewer, &local(query.get("next")), None, StatusCode::OK)
}

/// Shows the form in place of a page that needs it.
pub(crate) fn ask(viewer: &Viewer, is_post: bool) -> Response {
    let next = if is_post {
        "/".to_owned()
    } else {
        local(Some(&viewer.at))
    };
    let problem = viewer
        .session_id()
        .map(|_| "Intake no longer knows your token.");
    form(viewer, &next, problem, StatusCode::UNAUTHORIZED)
}

/// Signs in, if intake knows the token.
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let next = local(fields.get("next"));
    let given = fields.needed("token")?;
    let scope = if given.len() > MAX_TOKEN_BYTES {
        None
    } else {
        match app.intake.asker(Some(&given)) {
            Ok(asker) => asker.scope().await?,
            Err(_) => None,
        }
    };
    let Some(scope) = scope else {
        let problem = Some("Intake does not know this token.");
        return Ok(form(&viewer, &next, problem, StatusCode::UNAUTHORIZED));
    };
    if let Some(id) = viewer.session_id() {
        app.sessions.end(id);
    }
    // A new id: whoever knew the browser before does not know the session.
    match app.sessions.start(given, scope) {
        Ok(id) => Ok(redirect_with_session(&app, &next, &id)),
        Err(_) => Err(Failure::Broken("The system gives no random bytes.")),
    }
}

/// Forgets the token.
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
) -> Response {
    if let Some(id) = viewer.session_id() {
        app.sessions.end(id);
    }
    redirect_with_session(&app, "/sign-in", "")
}

/// Returns a path of this console: nothing else is a target of a redirect.
fn local(next: Option<&str>) -> String {
    let is_path = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.starts_with("/sign-")
            && path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    next.filter(is_path).unwrap_or("/").to_owned()
}

fn form(viewer: &Viewer, next: &str, problem: Option<&str>, status: StatusCode) -> Response {
    let main = html! {
        div.sign-in {
            h1 { "Sign in" }
            p { "Intake wants a token. The console keeps it in memory until you sign out, and for 12 hours at most." }
            @if let Some(problem) = problem { p.error role="alert" { (problem) } }
            form method="post" action="/sign-in" {
                (token(viewer))
                input type="hidden" name="next" value=(next);
                label for="token" { "Token" }
                input #token name="token" type="password" autocomplete="current-password" required autofocus;
                button.primary type="submit" { "Sign in" }
            }
        }
    };
    layout::page(viewer, Place::Elsewhere, "Sign in", None, &main)
        .with_status(status)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_console_are_targets() {
        for good in ["/", "/issues?state=denied", "/blueprints/a%20b"] {
            assert_eq!(local(Some(good)), good);
        }
        for bad in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "",
            "/sign-in",
            "/a\r\nb",
            "x",
        ] {
            assert_eq!(local(Some(bad)), "/", "{bad}");
        }
        assert_eq!(local(None), "/");
    }
}
