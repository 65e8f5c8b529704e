//! The event streams of live parts. Each event is the new content of one element of the page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use futures::channel::mpsc;
use maud::Markup;
use proto::v1;
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::edge::fields::Fields;
use crate::edge::guard::Viewer;
use crate::failure::Failure;
use crate::pages::{issue, overview};
use crate::view::issue_state::is_final;

/// How long a stream lasts; the browser opens another one.
const LASTS: Duration = Duration::from_secs(600);
/// Interval between looks at the queue.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A stream without news says so, so that a browser and a proxy keep it.
const SILENT_AT_MOST: Duration = Duration::from_secs(15);
/// Shortest interval between two events of an issue.
const AT_MOST_EVERY: Duration = Duration::from_millis(150);
/// The number of shown steps.
const MAX_STEPS: usize = 200;

/// Sends events to one browser.
struct Sender {
    to: mpsc::Sender<Result<Bytes, Infallible>>,
}

impl Sender {
    /// Sends a line. Fails when the browser has gone.
    async fn send(&mut self, text: String) -> Result<(), Gone> {
        let bytes = Ok(Bytes::from(text));
        futures::SinkExt::send(&mut self.to, bytes)
            .await
            .map_err(|_| Gone)
    }

    /// Replaces the content of the element `id`.
    async fn part(&mut self, id: &str, content: &Markup) -> Result<(), Gone> {
        let mut text = format!("event: part\ndata: {id}\n");
        for line in content.0.lines() {
            text.push_str(&format!("data: {line}\n"));
        }
        text.push('\n');
        self.send(text).await
    }

    /// Tells the browser to load the page again.
    async fn reload(&mut self) -> Result<(), Gone> {
        self.send("event: reload\ndata: \n\n".to_owned()).await
    }

    async fn still_here(&mut self) -> Result<(), Gone> {
        self.send(": \n\n".to_owned()).await
    }
}

/// The browser has gone, or the stream has ended for another reason.
struct Gone;

impl From<Failure> for Gone {
    fn from(_: Failure) -> Self {
        Gone
    }
}

/// Returns a response whose events `work` sends. It ends with `work`, the browser, the server or
/// the time limit.
fn stream<F>(app: &Arc<App>, work: impl FnOnce(Sender) -> F) -> Result<Response, Failure>
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let turn = app.stream_turn()?;
    let (to, events) = mpsc::channel(1);
    let working = work(Sender { to });
    let stopping = app.stopping.clone();
    let working = async move {
        let _turn = turn;
        tokio::select! {
            _ = timeout(LASTS, working) => {}
            () = stopping.cancelled() => {}
        }
    };
    let body = Body::from_stream(driven(events, working));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

/// Returns the stream of `events` that also drives `working`, so that no task outlives the
/// connection.
fn driven(
    events: mpsc::Receiver<Result<Bytes, Infallible>>,
    working: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    use futures::{FutureExt, StreamExt, stream};
    let ended = working.into_stream().filter_map(|()| async { None });
    stream::select(events, ended)
}

/// Sends the overview whenever it changed.
pub(crate) async fn overview(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Response, Failure> {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let asker = viewer.asker()?;
    stream(&app, move |mut sender| async move {
        let mut last: Option<overview::Live> = None;
        let mut sent_at = Instant::now();
        loop {
            let live = overview::live(&asker, &query).await?;
            let before = last.as_ref();
            // The button next to the sentence differs then.
            if before.is_some_and(|before| before.is_paused != live.is_paused) {
                return sender.reload().await;
            }
            let is_new = |part: fn(&overview::Live) -> &Markup| {
                before.is_none_or(|before| part(before).0 != part(&live).0)
            };
            let (new_sentence, new_rest) =
                (is_new(|live| &live.sentence), is_new(|live| &live.rest));
            if new_sentence {
                sender.part("live-sentence", &live.sentence).await?;
            }
            if new_rest {
                sender.part("live-overview", &live.rest).await?;
            }
            if new_sentence || new_rest {
                sent_at = Instant::now();
            } else if sent_at.elapsed() >= SILENT_AT_MOST {
                sender.still_here().await?;
                sent_at = Instant::now();
            }
            last = Some(live);
            sleep(LOOK_EVERY).await;
        }
    })
}

/// Sends the state and the steps of an issue until it is decided.
pub(crate) async fn issue(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let mut watch = viewer.asker()?.watch_issue(id).await?;
    stream(&app, move |mut sender| async move {
        let mut last: Option<v1::Issue> = None;
        let mut steps: Vec<issue::Step> = Vec::new();
        let mut first = None;
        loop {
            let Ok(message) = timeout(SILENT_AT_MOST, watch.message()).await else {
                sender.still_here().await?;
                continue;
            };
            let Ok(Some(message)) = message else {
                return Err(Gone);
            };
            if let Some(step) = message.step {
                note(&mut steps, &step);
            }
            if let Some(issue) = message.issue {
                if last
                    .as_ref()
                    .is_some_and(|last| last.attempt != issue.attempt)
                {
                    steps.clear();
                }
                last = Some(issue);
            }
            let Some(issue) = &last else { continue };
            let in_review = *first.get_or_insert(issue.state() == v1::IssueState::InReview);
            // The page then has a decision, or the forms for one.
            if is_final(issue) || (issue.state() == v1::IssueState::InReview) != in_review {
                return sender.reload().await;
            }
            sender
                .part("live-issue", &issue::state(issue, &steps, None))
                .await?;
            sleep(AT_MOST_EVERY).await;
        }
    })
}

/// Adds the progress of a step, or completes the entry of its start.
fn note(steps: &mut Vec<issue::Step>, step: &v1::StepProgress) {
    let name = match step.axis.as_str() {
        "" => step.step.clone(),
        axis => format!("{}: {axis}", step.step),
    };
    let status = step.status();
    let is_open =
        |known: &issue::Step| known.name == name && known.status == v1::StepStatus::Started;
    match steps.iter().rposition(is_open) {
        Some(at) => {
            steps[at].status = status;
            steps[at].duration_ms = step.duration_ms;
        }
        None if steps.len() < MAX_STEPS => steps.push(issue::Step {
            name,
            status,
            duration_ms: step.duration_ms,
        }),
        None => {}
    }
}
