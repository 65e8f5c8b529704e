//! `top`: the queue, the workers, and the issues that they run, as a picture that is kept up to
//! date.

mod picture;
mod screen;

use std::io::{self, Read};
use std::time::Duration;

use proto::v1::{
    GetQueueStatsRequest, GetQueueStatsResponse, Issue, IssueState, ListIssuesRequest,
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use self::screen::Screen;
use crate::args::{Common, Output, TopArgs};
use crate::client::{CliError, Client};
use crate::output::{self, Reader};

/// The most issues in flight that are read. A terminal has fewer lines.
const MAX_ISSUES: i32 = 200;
/// Time limit of a reading.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// What is shown.
#[derive(Debug, Default)]
struct Reading {
    stats: GetQueueStatsResponse,
    /// The issues in flight, newest first.
    issues: Vec<Issue>,
}

/// Shows the queue until q or Ctrl-C. Prints it once if standard output is not a terminal, or for
/// JSON.
///
/// # Errors
/// Errors of intake at the first reading; later ones are shown. Errors of standard output.
pub(crate) async fn top(options: &Common, args: TopArgs) -> Result<(), CliError> {
    let mut client = Client::connect(options).await?;
    let first = read(&mut client).await?;
    if options.output == Output::Json {
        let issues: Vec<_> = first.issues.iter().map(output::issue_json).collect();
        let value = json!({ "stats": output::stats_json(&first.stats), "in_flight": issues });
        return Ok(output::json_document(&value)?);
    }
    if args.once || !output::can_redraw() {
        return Ok(output::line(picture::lines(&first, output::reader()))?);
    }
    show(client, options, Duration::from_secs(args.interval), first).await
}

async fn show(
    mut client: Client,
    options: &Common,
    every: Duration,
    mut reading: Reading,
) -> Result<(), CliError> {
    let mut ends = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let mut resized = signal(SignalKind::window_change())?;
    let screen = Screen::enter()?;
    let mut keys = Keys::of(&screen);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate, and the first reading is here already.
    ticks.tick().await;
    let mut away: Option<(Instant, String)> = None;
    loop {
        let (width, _) = screen.size();
        let title = picture::title(&options.addr, every, away.as_ref(), width);
        let lines = picture::lines(&reading, Reader::Person { width });
        screen.draw(&title.plain("\n").then(lines))?;
        let [interrupt, terminate, hangup] = &mut ends;
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            key = keys.next() => if key == Some(b'q') { return Ok(()) },
            _ = resized.recv() => {}
            _ = ticks.tick() => {
                // A key or a signal ends the program while intake is asked, too.
                let next = tokio::select! {
                    next = read(&mut client) => next,
                    key = keys.next() => {
                        if key == Some(b'q') { return Ok(()) }
                        continue;
                    }
                    _ = interrupt.recv() => return Ok(()),
                    _ = terminate.recv() => return Ok(()),
                    _ = hangup.recv() => return Ok(()),
                };
                match next {
                    Ok(next) => {
                        reading = next;
                        away = None;
                    }
                    Err(error) => {
                        let since = away.map_or_else(Instant::now, |(since, _)| since);
                        away = Some((since, error.to_string()));
                    }
                }
            }
        }
    }
}

/// The keys that are pressed. Without a terminal, none comes.
struct Keys {
    keys: mpsc::Receiver<u8>,
    /// Keeps the channel open after the end of standard input.
    _sender: mpsc::Sender<u8>,
}

impl Keys {
    fn of(screen: &Screen) -> Self {
        let (sender, keys) = mpsc::channel(16);
        if screen.has_keys() {
            let sender = sender.clone();
            // It ends with the process: a read of a terminal cannot be called off.
            std::thread::spawn(move || {
                let mut key = [0_u8];
                while let Ok(1..) = io::stdin().read(&mut key) {
                    if sender.blocking_send(key[0].to_ascii_lowercase()).is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            keys,
            _sender: sender,
        }
    }

    /// Waits for the next key. Cancel safety: no key is lost.
    async fn next(&mut self) -> Option<u8> {
        self.keys.recv().await
    }
}

async fn read(client: &mut Client) -> Result<Reading, CliError> {
    let read = async {
        let stats = client
            .intake
            .get_queue_stats(GetQueueStatsRequest {})
            .await?;
        let request = ListIssuesRequest {
            state: Some(IssueState::InFlight.into()),
            page_size: MAX_ISSUES,
            ..Default::default()
        };
        let page = client.intake.list_issues(request).await?.into_inner();
        Ok(Reading {
            stats: stats.into_inner(),
            issues: page.issues,
        })
    };
    let late = || tonic::Status::deadline_exceeded("intake did not answer in time");
    timeout(READ_WITHIN, read)
        .await
        .unwrap_or_else(|_| Err(late().into()))
}
