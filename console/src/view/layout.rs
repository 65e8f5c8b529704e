//! The frame of every page: head, navigation, main part.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::assets;
use crate::calls::Scope;
use crate::edge::fields::FORM_TOKEN;
use crate::edge::guard::Viewer;

/// The pages of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/`
    Overview,
    /// `/issues`
    Issues,
    /// `/reviews`
    Reviews,
    /// `/blueprints`
    Blueprints,
    /// `/settings`
    Settings,
    /// `/workers`
    Workers,
    /// A page outside of the navigation.
    Elsewhere,
}

const PLACES: [(Place, &str, &str); 6] = [
    (Place::Overview, "/", "Overview"),
    (Place::Issues, "/issues", "Issues"),
    (Place::Reviews, "/reviews", "Reviews"),
    (Place::Blueprints, "/blueprints", "Blueprints"),
    (Place::Settings, "/settings", "Settings"),
    (Place::Workers, "/workers", "Workers"),
];

/// A page to be sent.
pub(crate) struct Page {
    status: StatusCode,
    markup: Markup,
}

impl Page {
    /// Sets the status of the response.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        (self.status, kind, self.markup.into_string()).into_response()
    }
}

/// Builds a page. `live` is the path of its event stream.
pub(crate) fn page(
    viewer: &Viewer,
    place: Place,
    title: &str,
    live: Option<&str>,
    main: &Markup,
) -> Page {
    let files = assets::paths();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Draftsman" }
                link rel="icon" href=(files.icon) type="image/svg+xml";
                link rel="stylesheet" href=(files.style);
                script src=(files.script) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { "Draftsman" }
                    nav aria-label="Pages" {
                        @for (each, path, name) in PLACES {
                            a href=(path) aria-current=[(each == place).then_some("page")] { (name) }
                        }
                    }
                    div.who {
                        @if viewer.may(Scope::Submit) && place != Place::Elsewhere {
                            a.button.primary href="/issues?new=1#new" { "New issue" }
                        }
                        @if let Some(scope) = viewer.scope() {
                            span.scope title="what your token allows" { (scope.as_str()) }
                            form method="post" action="/sign-out" {
                                (token(viewer))
                                button type="submit" { "Sign out" }
                            }
                        }
                    }
                }
                main #main tabindex="-1" data-live=[live] { (main) }
            }
        }
    };
    Page {
        status: StatusCode::OK,
        markup,
    }
}

/// Returns the hidden field that every form needs.
pub(crate) fn token(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name=(FORM_TOKEN) value=(viewer.form_token()); }
}

/// Returns a form with a single button.
pub(crate) fn action(viewer: &Viewer, to: &str, name: &str, class: &str) -> Markup {
    html! {
        form method="post" action=(to) {
            (token(viewer))
            button.(class) type="submit" { (name) }
        }
    }
}

/// Returns what a list says when it is empty.
pub(crate) fn empty(text: &str) -> Markup {
    html! { p.empty { (text) } }
}

/// Returns the link to the next page of a list.
pub(crate) fn pager(first: &str, is_first: bool, next: Option<String>) -> Markup {
    html! {
        @if !is_first || next.is_some() {
            nav.pager aria-label="Pages of the list" {
                @if !is_first { a href=(first) { "First page" } }
                @if let Some(next) = next { a rel="next" href=(next) { "Next page" } }
            }
        }
    }
}

/// Returns a notice about what was just done, from the query of a redirect.
pub(crate) fn notice(done: Option<&str>) -> Markup {
    let text = match done {
        Some("filed") => "The issue was filed.",
        Some("cancelled") => "The issue was cancelled.",
        Some("retried") => "The issue was filed again.",
        Some("approved") => "The change was approved.",
        Some("declined") => "The change was declined.",
        Some("paused") => "The queue is paused.",
        Some("resumed") => "The queue continues.",
        Some("written") => "The document was written.",
        Some("unchanged") => "The document was the same already. Nothing was written.",
        Some("promoted") => "The channel moved.",
        Some("unmoved") => "The channel had this version already.",
        Some("rolled-back") => "The channel moved back.",
        Some("reverted") => "The earlier version is the head again.",
        Some("archived") => "The Blueprint is archived.",
        Some("unarchived") => "The Blueprint is in use again.",
        Some("saved") => "The setting was saved. It counts from the next issue on.",
        _ => return PreEscaped(String::new()),
    };
    html! { p.notice role="status" { (text) } }
}
