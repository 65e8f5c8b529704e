//! A store on a private Redis, for tests of the scripts without any program.
//!
//! Every call of a test goes through [`Fixture::step`] or [`Fixture::refused`]. The first checks
//! the rules of the queues afterwards, the second that no key has changed.

mod samples;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use shared::blueprint::Blueprint;
use shared::domain::commit::Commit;
use shared::domain::enhance_log::{LogEntry, SpawnerUsage};
use shared::domain::issue::{Issue, IssueState, RejectionCause};
use shared::domain::proposal::ReviewPolicy;
use shared::ids::{IssueId, Version, WorkerId};
use shared::store::{
    ArchiveOutcome, ClaimMode, Claimed, ExpectedHead, IssueRef, NextClaim, PopHandle, PutOutcome,
    ReapOutcome, SettleOutcome, Settlement, Shard, Store, StoreError, SubmitOutcome,
};
use tokio::sync::Mutex;

use crate::redis_server::{Aof, RedisServer};
use crate::store_audit::{audit, dump};

pub use samples::{
    ARCHIVED, BESIDE, FAULT, How, LONG, OVER, PATCH_HASH, REVIEW, blueprint_id, busy, claimed,
    epoch_of, fault, issue_ref, log_of, marked, new_issue, proposed, review_of, with_token,
    worker_id,
};

/// A store on a private Redis.
pub struct Fixture {
    /// The store.
    pub store: Shard,
    /// The whole store, with this one shard.
    pub whole: Store,
    /// Its Redis server.
    pub redis: RedisServer,
    popper: Mutex<PopHandle>,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture")
            .field("redis", &self.redis)
            .finish_non_exhaustive()
    }
}

impl Fixture {
    /// Starts a Redis without Blueprints.
    ///
    /// # Panics
    /// If Redis does not start.
    pub async fn start() -> Self {
        let redis = RedisServer::start(Aof::None);
        let whole = Store::open(&redis.socket_url(), 1).expect("a valid URL");
        let store = whole.home().clone();
        let block = Duration::from_millis(100);
        let popper = store
            .handle()
            .pop_handle(block)
            .await
            .expect("a connection");
        Self {
            store,
            whole,
            redis,
            popper: Mutex::new(popper),
        }
    }

    /// As [`Fixture::start`], with a small Blueprint for each of these names.
    ///
    /// # Panics
    /// If Redis does not start.
    pub async fn with(names: &[&str]) -> Self {
        let fixture = Self::start().await;
        for name in names {
            fixture.put(&marked(name, "first", "1.0.0")).await;
        }
        fixture
    }

    /// Makes a call that may change data, then checks the queues.
    ///
    /// # Panics
    /// If the call fails or violates a rule of the queue.
    pub async fn step<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> T {
        let outcome = call.await.expect("the store answers");
        audit(&self.store).await;
        outcome
    }

    /// Makes a call that must change nothing.
    ///
    /// # Panics
    /// If the call fails or any key has changed.
    pub async fn refused<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> T {
        let before = dump(&self.store).await;
        let outcome = call.await.expect("the store answers");
        assert_eq!(
            dump(&self.store).await,
            before,
            "a refused call changed something"
        );
        outcome
    }

    /// Sends one command to Redis without the store.
    ///
    /// # Panics
    /// If Redis returns an error.
    pub async fn raw<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let answer = self.store.handle().command("raw", &command).await;
        answer.unwrap_or_else(|error| panic!("{words:?}: {error:?}"))
    }

    /// Archives or unarchives a Blueprint.
    ///
    /// # Panics
    /// If the call fails.
    pub async fn set_archived(&self, name: &str, archived: bool) {
        let outcome = self.store.set_archived(&blueprint_id(name), archived).await;
        let outcome = outcome.expect("the store answers");
        assert!(
            matches!(&outcome, ArchiveOutcome::Done(summary) if summary.archived == archived),
            "{name}: {outcome:?}"
        );
    }

    /// Pauses a Blueprint, or everything (`*`). Elements in `pending` stay there.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn pause(&self, name: &str) {
        let key = self.store.keys().paused();
        let _: i64 = self.raw(&["HSET", &key, name, "1"]).await;
    }

    /// Removes a pause without placing parked heads.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn lift_pause(&self, name: &str) {
        let key = self.store.keys().paused();
        let _: i64 = self.raw(&["HDEL", &key, name]).await;
    }

    /// The place of a queue's head; `none` for an empty queue.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn place(&self, name: &str) -> String {
        let key = self.store.keys().places();
        let place: Option<String> = self.raw(&["HGET", &key, name]).await;
        place.unwrap_or_else(|| "none".to_owned())
    }

    /// The pending list in the order of pops.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn pending(&self) -> Vec<String> {
        let key = self.store.keys().pending();
        let mut elements: Vec<String> = self.raw(&["LRANGE", &key, "0", "-1"]).await;
        elements.reverse();
        elements
    }

    /// Writes a new head.
    ///
    /// # Panics
    /// If the write creates no commit.
    pub async fn put(&self, blueprint: &Blueprint) -> Commit {
        let put = self
            .store
            .put_blueprint(blueprint, ExpectedHead::Any, "by hand");
        match put.await.expect("the store answers") {
            PutOutcome::Created(commit) => commit,
            other => panic!("no commit of {}: {other:?}", blueprint.id()),
        }
    }

    /// Submits an issue.
    ///
    /// # Panics
    /// If it is not accepted.
    pub async fn submit(&self, blueprint: &str, issue: &str) -> IssueRef {
        let new = new_issue(blueprint, issue);
        let outcome = self.step(self.store.submit(&new)).await;
        assert!(
            matches!(outcome, SubmitOutcome::Accepted(_)),
            "{issue}: {outcome:?}"
        );
        issue_ref(blueprint, issue)
    }

    /// Pops the next ready element into the worker's list.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn pop(&self, worker: &WorkerId) -> Option<IssueRef> {
        let (from, to) = (
            self.store.keys().pending(),
            self.store.keys().processing(worker.as_str()),
        );
        let popped = self.popper.lock().await.pop_ready(&from, &to, 1).await;
        let popped = popped.expect("Redis answers").pop()?;
        Some(IssueRef::parse(&popped).expect("an element of pending"))
    }

    /// Pops an issue and claims it with a new nonce.
    ///
    /// # Panics
    /// If no issue is ready, or the claim is not granted.
    pub async fn take(&self, worker: &WorkerId, lease_ms: u64) -> Claimed {
        self.take_in(worker, lease_ms, BESIDE).await
    }

    /// As [`Fixture::take`], with this claim mode.
    ///
    /// # Panics
    /// If no issue is ready, or the claim is not granted.
    pub async fn take_in(
        &self,
        worker: &WorkerId,
        lease_ms: u64,
        claim_mode: ClaimMode,
    ) -> Claimed {
        let issue = self.pop(worker).await.expect("an element is ready");
        let nonce = IssueId::generate();
        let claim = self
            .store
            .claim(&issue, worker, nonce.as_str(), lease_ms, None, claim_mode);
        claimed(self.step(claim).await)
    }

    /// Takes the ready issue, lets the lease expire, reaps it and promotes the issue.
    ///
    /// # Panics
    /// If the issue is not ready again.
    pub async fn crash(&self, worker: &WorkerId) -> Claimed {
        let claimed = self.take(worker, OVER).await;
        let issue = &claimed.lease.issue;
        let outcome = self.step(self.store.reap(issue, u32::MAX, 0.0)).await;
        assert_eq!(outcome, ReapOutcome::Delayed(0));
        self.step(self.store.promote(issue)).await;
        claimed
    }

    /// The stored issue.
    ///
    /// # Panics
    /// If it does not exist.
    pub async fn issue(&self, issue: &IssueRef) -> Issue {
        let found = self.store.issue(&issue.issue_id).await;
        found.expect("the store answers").expect("the issue")
    }

    /// The log entry of an issue.
    ///
    /// # Panics
    /// If it does not exist.
    pub async fn log_entry(&self, issue: &IssueRef) -> LogEntry {
        let found = self.store.log_entry(&issue.issue_id).await;
        found.expect("the store answers").expect("a log entry")
    }

    /// Checks that an issue is rejected with a bare log entry, one that no flow created.
    ///
    /// # Panics
    /// If it is not rejected, or the entry differs.
    pub async fn assert_rejected(
        &self,
        issue: &IssueRef,
        prev_hash: Option<&Version>,
        cause: RejectionCause,
        reason: &str,
    ) {
        let found = self.issue(issue).await;
        assert_eq!(
            (found.state, found.cause, found.reason.as_str()),
            (IssueState::Rejected, Some(cause), reason)
        );
        assert_eq!(found.new_version, None);
        let entry = LogEntry {
            issue_id: found.issue_id,
            blueprint_id: found.blueprint_id,
            prev_hash: prev_hash.cloned(),
            new_hash: None,
            intent: found.intent,
            rationale: String::new(),
            verdicts: Vec::new(),
            cause: Some(cause),
            reasons: vec![reason.to_owned()],
            attempt: found.attempt,
            patch_json: String::new(),
            ts_ms: found.updated_at_ms,
            usage: SpawnerUsage::default(),
            unusable_reply: String::new(),
            submitted_by: found.submitted_by,
            decided_by: found.decided_by,
            comment: String::new(),
        };
        assert_eq!(self.log_entry(issue).await, entry);
    }

    /// Decides a claimed issue against the head that it was claimed with.
    ///
    /// # Errors
    /// As [`Shard::settle`].
    pub async fn settle(&self, claimed: &Claimed, how: How) -> Result<SettleOutcome, StoreError> {
        let (outcome, _) = self.settle_with(claimed, how, None).await?;
        Ok(outcome)
    }

    /// As [`Fixture::settle`], with a request for the queue's next issue.
    ///
    /// # Errors
    /// As [`Shard::settle_and_claim_next`].
    pub async fn settle_with(
        &self,
        claimed: &Claimed,
        how: How,
        next: Option<&NextClaim<'_>>,
    ) -> Result<(SettleOutcome, Option<Box<Claimed>>), StoreError> {
        let issue = &claimed.lease.issue;
        let (name, mark) = (issue.blueprint_id.as_str(), issue.issue_id.as_str());
        let new = marked(name, mark, "1.0.1");
        let log = log_of(claimed, how, &new);
        let (expected_seq, reason) = (claimed.head.seq, how.reason().to_owned());
        let settlement = match how {
            How::Applied => Settlement::Applied {
                blueprint: Arc::new(new),
                expected_seq,
                settings_counter: claimed.settings_counter,
                patch_hash: PATCH_HASH.to_owned(),
                epoch: epoch_of(claimed),
                log,
            },
            How::Review => review_of(claimed, ReviewPolicy::default()),
            How::Denied => Settlement::Denied {
                expected_seq,
                reason,
                log,
            },
            How::Failed | How::Dead => Settlement::Failed {
                dead: how == How::Dead,
                kind: "test",
                reason,
                log,
            },
        };
        let store = &self.store;
        match next {
            Some(next) => {
                let settled = store.settle_and_claim_next(&claimed.lease, &settlement, next);
                settled.await
            }
            None => {
                let settled = store.settle(&claimed.lease, &settlement).await;
                settled.map(|outcome| (outcome, None))
            }
        }
    }
}
