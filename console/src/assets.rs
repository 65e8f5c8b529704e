//! The style sheet, the script and the icon, embedded in the program.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../assets/console.css");
const SCRIPT: &str = include_str!("../assets/console.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// Identifies the content, so that browsers may keep the files of one version.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for part in [STYLE, SCRIPT, ICON] {
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..6])
});

/// The paths of the files.
pub(crate) struct Paths {
    /// The style sheet.
    pub(crate) style: String,
    /// The script.
    pub(crate) script: String,
    /// The icon.
    pub(crate) icon: String,
}

/// Returns the paths.
pub(crate) fn paths() -> Paths {
    let path = |name: &str| format!("/assets/{name}?v={}", *VERSION);
    Paths {
        style: path("console.css"),
        script: path("console.js"),
        icon: path("icon.svg"),
    }
}

/// Returns the routes of the files.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move {
            let headers = [
                (CONTENT_TYPE, kind),
                (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, text).into_response()
        })
    };
    Router::new()
        .route(
            "/assets/console.css",
            file("text/css; charset=utf-8", STYLE),
        )
        .route(
            "/assets/console.js",
            file("text/javascript; charset=utf-8", SCRIPT),
        )
        .route("/assets/icon.svg", file("image/svg+xml", ICON))
}
