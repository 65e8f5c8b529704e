//! The load of a run: one submitter for each Blueprint, and tasks over all Blueprints that cancel
//! issues, write documents, move channels, and watch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::v1;
use proto::v1::blueprint_service_client::BlueprintServiceClient;
use proto::v1::intake_service_client::IntakeServiceClient;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use crate::chaos::reviewers;
use crate::chaos::stage::{N_INTAKES, POISON, Stage};
use crate::client::is_terminal;
use crate::factory;
use crate::rng::SeededRng;

pub(super) const N_BLUEPRINTS: usize = 10;
/// Pauses between two submissions to one Blueprint. The first Blueprint is hot.
const PAUSES_MS: (usize, usize) = (30, 500);
/// The delay before the caller retries after a temporary error.
pub(super) const AGAIN: Duration = Duration::from_millis(50);

/// The results of the load for the checker.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Acknowledged ids. Ids of one Blueprint are in the order of acknowledgement.
    pub(super) acknowledged: Vec<String>,
    /// The issues that each watcher received.
    pub(super) watched: Vec<Vec<v1::Issue>>,
    /// The issues that need a review, with the versions that were approved.
    pub(super) reviewed: BTreeMap<String, Vec<String>>,
    /// The channels as answered after each move.
    pub(super) moved: Vec<v1::Channel>,
    /// Unexpected answers.
    pub(super) problems: Vec<String>,
}

/// State that the tasks of the load share.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) stage: Arc<Stage>,
    pub(super) seed: u64,
    loaded: Arc<Mutex<Loaded>>,
}

/// The running tasks.
pub(super) struct Loading {
    load: Load,
    tasks: JoinSet<()>,
}

impl Loading {
    /// Waits until every task is complete, which requires that all faults have ended.
    pub(super) async fn finish(self) -> Loaded {
        let Loading { load, tasks } = self;
        tasks.join_all().await;
        let mut loaded = load.loaded.lock().expect("no holder of this lock panics");
        std::mem::take(&mut *loaded)
    }
}

pub(super) fn blueprint_id(n: usize) -> String {
    format!("bp-{n}")
}

/// A document that an operator writes; each call gives a different one.
fn document(n: usize, edit: usize) -> String {
    factory::small(&blueprint_id(n)).replace("sample bp", &format!("edit {edit} of bp"))
}

/// One of four kinds of intent. One kind is sometimes denied (unchanged document), one always.
fn intent(n: usize) -> String {
    match n % 9 {
        3 => "nobody understands this".to_owned(),
        5 | 7 => format!("describe as number {n}"),
        6 => format!("set prompt of agent agent-1 to Be number {n}."),
        _ => format!("tag n{}", n % 20),
    }
}

/// Whether the error only reports an unavailable program, so that the call is repeated.
pub(super) fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown
    ) || (status.code() == Code::Internal && status.message().contains("h2 protocol error"))
}

impl Load {
    /// Writes the Blueprints that the issues target, and submits the poison issue if there is one.
    pub(super) async fn prepare(stage: Arc<Stage>, seed: u64) -> Self {
        let load = Self {
            stage,
            seed,
            loaded: Arc::default(),
        };
        for n in 0..=N_BLUEPRINTS {
            load.put(0, document(n, 0)).await;
        }
        reviewers::prepare(&load.stage.redis_url()).await;
        load.put(0, reviewers::document(0)).await;
        if load.stage.is_poisoned() {
            let mut rng = SeededRng::part(seed, 3);
            load.submit(N_BLUEPRINTS, POISON, "tag x".to_owned(), &mut rng)
                .await;
        }
        load
    }

    /// Starts all tasks. They start no new operation once `stopped` is true.
    pub(super) fn start(&self, stopped: &watch::Receiver<bool>) -> Loading {
        let mut tasks = JoinSet::new();
        for n in 0..N_BLUEPRINTS {
            tasks.spawn(self.clone().submitter(n, stopped.clone()));
        }
        tasks.spawn(self.clone().canceller(stopped.clone()));
        tasks.spawn(self.clone().review_submitter(stopped.clone()));
        tasks.spawn(self.clone().reviewer(stopped.clone()));
        tasks.spawn(self.clone().operator(stopped.clone()));
        for part in [7, 8] {
            tasks.spawn(self.clone().mover(part, stopped.clone()));
        }
        Loading {
            load: self.clone(),
            tasks,
        }
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Loaded)) {
        note(&mut self.loaded.lock().expect("no holder of this lock panics"));
    }

    pub(super) fn problem(&self, problem: String) {
        self.note(|loaded| loaded.problems.push(problem));
    }

    async fn submitter(self, blueprint: usize, stopped: watch::Receiver<bool>) {
        let mut rng = SeededRng::part(self.seed, 100 + blueprint as u64);
        let mut watchers = JoinSet::new();
        let mut n = 0;
        while !*stopped.borrow() {
            let id = format!("i-{blueprint}-{n}");
            self.submit(blueprint, &id, intent(n), &mut rng).await;
            if rng.one_in(10) {
                watchers.spawn(self.clone().watcher(id, rng.roll(N_INTAKES)));
            }
            let (hot, calm) = PAUSES_MS;
            let pause = if blueprint == 0 {
                hot
            } else {
                calm / 2 + rng.roll(calm)
            };
            sleep(Duration::from_millis(pause as u64)).await;
            n += 1;
        }
        watchers.join_all().await;
    }

    /// Submits until the issue is acknowledged. It may use both intakes at once, or repeat a call
    /// that it aborted.
    async fn submit(&self, blueprint: usize, id: &str, intent: String, rng: &mut SeededRng) {
        self.submit_to(&blueprint_id(blueprint), id, intent, rng)
            .await;
    }

    /// As [`Load::submit`], to a Blueprint of another name.
    pub(super) async fn submit_to(
        &self,
        blueprint_id: &str,
        id: &str,
        intent: String,
        rng: &mut SeededRng,
    ) {
        let request = v1::SubmitIssueRequest {
            blueprint_id: blueprint_id.to_owned(),
            intent,
            issue_id: Some(id.to_owned()),
            ..Default::default()
        };
        let call = |n: usize| {
            let mut intake = IntakeServiceClient::new(self.stage.channel(n));
            let request = request.clone();
            async move { intake.submit_issue(request).await }
        };
        if rng.one_in(10) {
            self.stage.tally.loaded("calls hung up on");
            let wait_limit = Duration::from_millis(rng.roll(10) as u64);
            // The caller cannot know whether the aborted call was executed.
            let _hung_up = timeout(wait_limit, call(rng.roll(N_INTAKES))).await;
        }
        let twice = rng.one_in(8);
        loop {
            let answers = if twice {
                self.stage.tally.loaded("calls through both intakes");
                let (one, other) = tokio::join!(call(0), call(1));
                vec![one, other]
            } else {
                vec![call(rng.roll(N_INTAKES)).await]
            };
            for error in answers.iter().filter_map(|a| a.as_ref().err()) {
                if !is_passing(error) {
                    return self.problem(format!("SubmitIssue of {id} answered {error}"));
                }
            }
            if answers.iter().any(Result::is_ok) {
                return self.note(|loaded| loaded.acknowledged.push(id.to_owned()));
            }
            self.stage.tally.loaded("calls repeated");
            sleep(AGAIN).await;
        }
    }

    /// Cancels issues, mostly undecided ones.
    async fn canceller(self, stopped: watch::Receiver<bool>) {
        let mut rng = SeededRng::part(self.seed, 4);
        while !*stopped.borrow() {
            sleep(Duration::from_millis(200 + rng.roll(400) as u64)).await;
            let mut id = None;
            self.note(|loaded| {
                let last = loaded.acknowledged.len().saturating_sub(6);
                id = rng.pick(&loaded.acknowledged[last..]);
            });
            let Some(issue_id) = id else { continue };
            let mut intake = IntakeServiceClient::new(self.stage.channel(rng.roll(N_INTAKES)));
            let request = v1::CancelIssueRequest {
                issue_id: issue_id.clone(),
            };
            self.stage.tally.loaded("issues called off");
            match intake.cancel_issue(request).await {
                Ok(_) => {}
                Err(status) if status.code() == Code::FailedPrecondition => {}
                Err(status) if is_passing(&status) => {}
                Err(status) => self.problem(format!("CancelIssue of {issue_id} answered {status}")),
            }
        }
    }

    /// Writes documents directly, so that heads change while issues run.
    async fn operator(self, stopped: watch::Receiver<bool>) {
        let mut rng = SeededRng::part(self.seed, 5);
        let mut edit = 1;
        while !*stopped.borrow() {
            sleep(Duration::from_millis(300 + rng.roll(1_000) as u64)).await;
            self.stage.tally.loaded("documents by hand");
            let document = document(rng.roll(N_BLUEPRINTS), edit);
            self.put(rng.roll(N_INTAKES), document).await;
            edit += 1;
        }
    }

    pub(super) async fn put(&self, intake: usize, document: String) {
        loop {
            let request = v1::PutBlueprintRequest {
                document: document.clone(),
                ..Default::default()
            };
            let mut blueprints = BlueprintServiceClient::new(self.stage.channel(intake));
            match blueprints.put_blueprint(request).await {
                Ok(_) => return,
                Err(status) if is_passing(&status) => sleep(AGAIN).await,
                Err(status) => return self.problem(format!("PutBlueprint answered {status}")),
            }
        }
    }

    /// Watches one issue until it is decided, and opens new streams as needed.
    async fn watcher(self, issue_id: String, intake: usize) {
        let mut seen: Vec<v1::Issue> = Vec::new();
        loop {
            let streamed = self.stream(&issue_id, intake, &mut seen).await;
            match streamed {
                Ok(()) if seen.last().is_some_and(is_terminal) => break,
                Ok(()) => self.problem(format!(
                    "WatchIssue of {issue_id} ended before it was decided"
                )),
                Err(status) if is_passing(&status) => {}
                Err(status) => {
                    self.problem(format!("WatchIssue of {issue_id} answered {status}"));
                    break;
                }
            }
            sleep(AGAIN).await;
        }
        self.stage.tally.loaded("issues watched");
        self.note(|loaded| loaded.watched.push(seen));
    }

    async fn stream(
        &self,
        issue_id: &str,
        intake: usize,
        seen: &mut Vec<v1::Issue>,
    ) -> Result<(), Status> {
        let request = v1::WatchIssueRequest {
            issue_id: issue_id.to_owned(),
            ..Default::default()
        };
        let mut intake = IntakeServiceClient::new(self.stage.watching_channel(intake));
        let mut stream = intake.watch_issue(request).await?.into_inner();
        let mut is_first = true;
        while let Some(message) = stream.message().await? {
            let issue = message.issue.unwrap_or_default();
            // A new stream starts with the present state, which can equal the last state of the
            // previous stream.
            let known = is_first && seen.last() == Some(&issue);
            is_first = false;
            if !known {
                seen.push(issue);
            }
        }
        Ok(())
    }
}
