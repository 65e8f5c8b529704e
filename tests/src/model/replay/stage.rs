//! A real Redis with the first state of a scenario, to which each trace returns.

use redis::Cmd;
use shared::blueprint::Blueprint;
use shared::domain::issue::{Authority, NewIssue};
use shared::ids::{Version, WorkerId};
use shared::store::{IssueRef, SubmitOutcome};

use crate::model::replay::content::SCRIPT;
use crate::model::scenarios::Scenario;
use crate::model::state::{BlueprintNo, IssueNo, State, Token, WorkerNo};
use crate::store_fixture::{Fixture, blueprint_id, issue_ref, marked, new_issue, worker_id};

/// The store, and the names of everything in the scenario.
pub(super) struct Stage<'a> {
    pub(super) fixture: &'a Fixture,
    pub(super) scenario: &'a Scenario,
    /// The first version of each Blueprint.
    pub(super) first_version: Version,
    /// The call that reads the content.
    pub(super) read_content: Cmd,
    /// Restores the first state.
    reset: redis::Pipeline,
}

impl<'a> Stage<'a> {
    /// Creates the first state of the scenario.
    ///
    /// # Panics
    /// If Redis does not answer, or refuses an issue.
    pub(super) async fn new(fixture: &'a Fixture, scenario: &'a Scenario, first: &State) -> Self {
        let (store, keys) = (&fixture.store, fixture.store.keys());
        let _: String = fixture.raw(&["FLUSHALL"]).await;
        let mut first_version = None;
        for b in 0..first.redis.queues.len() as BlueprintNo {
            let blueprint = marked(&blueprint_name(b), "first", "1.0.0");
            first_version = Some(blueprint.version().clone());
            fixture.put(&blueprint).await;
        }
        for w in 0..scenario.n_workers as WorkerNo {
            let _: i64 = fixture
                .raw(&["ZADD", &keys.workers(), "1", &worker_name(w)])
                .await;
        }
        let mut stage = Self {
            fixture,
            scenario,
            first_version: first_version.expect("a scenario has a Blueprint"),
            read_content: Cmd::new(),
            reset: redis::pipe(),
        };
        for i in 0..scenario.n_accepted as IssueNo {
            let outcome = store.submit(&stage.new_issue(i)).await;
            let outcome = outcome.expect("the store answers");
            assert!(matches!(outcome, SubmitOutcome::Accepted(_)), "{outcome:?}");
        }
        stage.read_content = stage.content_call(first).await;
        stage.reset.cmd("FLUSHALL");
        let stored: Vec<String> = fixture.raw(&["KEYS", "*"]).await;
        for key in stored {
            let dump: Vec<u8> = fixture.raw(&["DUMP", &key]).await;
            stage.reset.cmd("RESTORE").arg(key).arg(0).arg(dump);
        }
        stage
    }

    /// Returns to the first state.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub(super) async fn reset(&self) {
        let handle = self.fixture.store.handle();
        let reset = handle.pipeline::<Vec<String>>("reset", &self.reset).await;
        reset.expect("Redis restores its content");
    }

    async fn content_call(&self, state: &State) -> Cmd {
        let sha: String = self.fixture.raw(&["SCRIPT", "LOAD", SCRIPT]).await;
        let (keys, redis) = (self.fixture.store.keys(), &state.redis);
        let mut names = vec![
            keys.pending(),
            keys.places(),
            keys.paused(),
            keys.leases(),
            keys.delayed(),
            keys.fence(),
            keys.log(),
            keys.decided(),
            keys.dead(),
            keys.in_review(),
            keys.review_due(),
        ];
        let issues: Vec<IssueRef> = (0..redis.issues.len() as IssueNo)
            .map(|i| self.issue(i))
            .collect();
        for issue in &issues {
            names.extend([keys.issue(&issue.issue_id), keys.proposal(&issue.issue_id)]);
        }
        for b in 0..redis.queues.len() as BlueprintNo {
            let id = blueprint_id(&blueprint_name(b));
            names.extend([keys.backlog(&id), keys.blueprint(&id), keys.commits(&id)]);
        }
        let workers = 0..redis.processing.len() as WorkerNo;
        names.extend(workers.map(|w| keys.processing(&worker_name(w))));
        let mut call = redis::cmd("EVALSHA");
        call.arg(sha).arg(names.len()).arg(names);
        call.arg(issues.len()).arg(redis.queues.len());
        call.arg(issues.iter().map(IssueRef::element).collect::<Vec<_>>());
        call
    }

    /// The issue with this number.
    pub(super) fn issue(&self, issue: IssueNo) -> IssueRef {
        let blueprint = self.scenario.issues[usize::from(issue)];
        issue_ref(&blueprint_name(blueprint), &issue_name(issue))
    }

    /// The submission of an issue.
    pub(super) fn new_issue(&self, issue: IssueNo) -> NewIssue {
        let is_admin = self.scenario.admins.contains(&issue);
        let blueprint = self.scenario.issues[usize::from(issue)];
        new_issue(&blueprint_name(blueprint), &issue_name(issue)).on_authority(authority(is_admin))
    }

    /// The version that an operator writes over the head with this number.
    pub(super) fn written_by_hand(&self, blueprint: BlueprintNo, head: u8) -> Blueprint {
        marked(
            &blueprint_name(blueprint),
            &format!("by hand {head}"),
            "1.0.1",
        )
    }
}

/// The authority of an admin or of a submitter.
pub(super) fn authority(is_admin: bool) -> Authority {
    if is_admin {
        Authority::Admin
    } else {
        Authority::Submitter
    }
}

/// The id of an issue.
pub(super) fn issue_name(issue: IssueNo) -> String {
    format!("i{issue}")
}

/// The id of a Blueprint.
pub(super) fn blueprint_name(blueprint: BlueprintNo) -> String {
    format!("b{blueprint}")
}

/// The id of a worker.
pub(super) fn worker_name(worker: WorkerNo) -> String {
    format!("w{worker}")
}

/// The worker with this number.
pub(super) fn worker(worker: WorkerNo) -> WorkerId {
    worker_id(&worker_name(worker))
}

/// A nonce as a worker sends it.
pub(super) fn nonce_text(nonce: u8) -> String {
    format!("n{nonce}")
}

/// A token as the scripts build it: the fencing counter and the nonce.
pub(super) fn token_text(token: Token) -> String {
    format!("{}-{}", token.0, nonce_text(token.1))
}
