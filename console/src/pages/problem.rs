//! The page of a failure.

use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, html};

use crate::edge::guard::Viewer;
use crate::failure::Failure;
use crate::view::layout::{self, Place};
use crate::view::text::visible;

/// Returns the page of a failure.
pub(crate) fn page(viewer: &Viewer, failure: &Failure) -> Response {
    let (heading, text, details) = failure.words();
    let main = html! {
        div.problem {
            h1 { (heading) }
            p.prose { (visible(&text)) }
            @if !details.is_empty() {
                ul.details { @for line in &details { li { (visible(line)) } } }
            }
            @if matches!(failure, Failure::Away | Failure::Busy) {
                p { a.button href=(viewer.at) { "Try again" } }
            } @else {
                p.quiet {
                    "Go back in the browser"
                    // What is not found is often the address of a link, not of a form.
                    @if !matches!(failure, Failure::NotFound(_)) { " to change the form" }
                    ", or " a href="/" { "to the overview" } "."
                }
            }
        }
    };
    let page = layout::page(viewer, Place::Elsewhere, heading, None, &main);
    page.with_status(failure.status()).into_response()
}

/// Returns a page that loads the same address again, as a link of our own.
pub(crate) fn reload() -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="0";
                title { "Draftsman" }
            }
            body { p { "Loading." } }
        }
    };
    let kind = [(axum::http::header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (kind, markup.into_string()).into_response()
}
