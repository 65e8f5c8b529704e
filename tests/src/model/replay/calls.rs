//! The steps of the model as calls of the real scripts, with their replies as text.

use std::fmt::Debug;

use serde_json::json;
use shared::domain::actor::Actor;
use shared::store::{
    Beat, ClaimMode, ClaimOutcome, Claimed, ExpectedHead, Head, IssueRef, Lease, NextClaim,
    PromoteOutcome, PutOutcome, Release, ReleaseOutcome, ReturnOutcome, SettleOutcome, StoreError,
    SubmitOutcome,
};

use crate::model::actions::{Action, Fate};
use crate::model::replay::content::{ids, place_name};
use crate::model::replay::stage::{
    Stage, authority, blueprint_name, issue_name, nonce_text, token_text, worker, worker_name,
};
use crate::model::requests::{self, HandOver, Held, Reply, Request, Verdict};
use crate::model::state::{BlueprintNo, IssueNo, Phase, State, WorkerNo};
use crate::raw_script::{outcome_for, outcome_of_queue};
use crate::store_fixture::{How, LONG, blueprint_id, busy, fault};

/// The placeholder for no worker and no issue in the names of keys.
pub(super) const NOBODY: &str = "-";

/// The reply of the model as text.
pub(super) fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Popped(issue) => format!("popped {}", issue_name(*issue)),
        Reply::Claimed { token, seq, .. } => format!("ok {} at {seq}", token_text(*token)),
        Reply::Settled { next: None, .. } => "ok".to_owned(),
        Reply::Settled {
            next: Some(HandOver {
                issue, token, seq, ..
            }),
            ..
        } => format!(
            "ok, next {} {} at {seq}",
            issue_name(*issue),
            token_text(*token)
        ),
        Reply::MovedHead(seq) => format!("moved_head {seq}"),
        Reply::JoinedAgain { .. } => "moved_head".to_owned(),
        Reply::HandedBack | Reply::PutOff | Reply::MadeToWait | Reply::Cancelled(_) => {
            "ok".to_owned()
        }
        Reply::Beaten {
            lost,
            cancelled,
            unleased,
            ..
        } => beat_text(
            ids(lost.iter()),
            ids(cancelled.iter()),
            ids(unleased.iter()),
        ),
        other => other.outcome().to_owned(),
    }
}

fn beat_text(lost: String, cancelled: String, unleased: String) -> String {
    format!("lost {lost} cancelled {cancelled} unleased {unleased}")
}

pub(super) fn answer<T>(answer: Result<T, StoreError>) -> T {
    answer.expect("the store answers")
}

/// An outcome that the model does not have.
fn unexpected(outcome: impl Debug) -> String {
    format!("{outcome:?}")
}

/// The model's number of a commit. The model starts with the first commit, which has number 1.
fn number(seq: u64) -> u64 {
    seq - 1
}

impl Stage<'_> {
    /// Executes a step. Returns the reply if it executes a script.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub(super) async fn execute(&self, before: &State, action: Action) -> Option<String> {
        let (raw, keys) = (self.fixture, self.fixture.store.keys());
        match action {
            Action::Call(_, Fate::Late) => None,
            Action::Call(request, _) | Action::Arrives(request) => {
                Some(self.call(before, request).await)
            }
            Action::RunsOut(issue) => {
                let element = self.issue(issue).element();
                let _: i64 = raw
                    .raw(&["ZADD", &keys.leases(), "XX", "1", &element])
                    .await;
                None
            }
            Action::FallsDue(issue) => {
                self.fall_due(issue).await;
                None
            }
            Action::LoseElement(b) => {
                let head = before.redis.queues[usize::from(b)].backlog.first();
                let element = self
                    .issue(*head.expect("a ready queue has a head"))
                    .element();
                let workers = 0..self.scenario.n_workers as WorkerNo;
                let lists = workers.map(|w| keys.processing(&worker_name(w)));
                for list in lists.chain([keys.pending()]) {
                    let _: i64 = raw.raw(&["LREM", &list, "0", &element]).await;
                }
                None
            }
            Action::LieAboutPlace(b, place) => {
                let (places, name) = (keys.places(), blueprint_name(b));
                let _: i64 = match place_name(place) {
                    Some(place) => raw.raw(&["HSET", &places, &name, place]).await,
                    None => raw.raw(&["HDEL", &places, &name]).await,
                };
                None
            }
            Action::Freeze(_)
            | Action::Wake(_)
            | Action::Crash(_)
            | Action::GiveUp(..)
            | Action::Stop(_)
            | Action::SignOff(_)
            | Action::Restart(_) => None,
        }
    }

    async fn call(&self, before: &State, request: Request) -> String {
        let store = &self.fixture.store;
        match request {
            Request::Submit(issue) => match answer(store.submit(&self.new_issue(issue)).await) {
                SubmitOutcome::Accepted(_) => "accepted".to_owned(),
                SubmitOutcome::Existed(_) => "existed".to_owned(),
                SubmitOutcome::OrbitNeedsAdmin { .. } => "orbit_needs_admin".to_owned(),
                other => unexpected(other),
            },
            Request::Pop(worker) => self.pop(worker).await,
            Request::Claim {
                worker,
                issue,
                nonce,
                promise,
            } => self.claim(worker, issue, nonce, promise).await,
            Request::Settle {
                held,
                verdict,
                seq,
                next,
                ..
            } => self.settle(held, verdict, seq, next).await,
            Request::Release { held, why } => {
                let release = match why {
                    requests::Release::Shutdown => Release::Shutdown,
                    requests::Release::Fault => fault(0),
                    requests::Release::Busy => busy(0),
                };
                match answer(store.release(&self.lease(held), &release).await) {
                    ReleaseOutcome::Released => "ok".to_owned(),
                    ReleaseOutcome::Stale => "stale".to_owned(),
                }
            }
            Request::Beat(worker) => self.beat(before, worker).await,
            Request::Reap { issue, holder } => self.reap(issue, holder).await,
            Request::Return { worker, issue } => {
                let issue = self.issue(issue);
                let returned = store.return_element(&issue, &worker_name(worker)).await;
                match answer(returned) {
                    ReturnOutcome::Returned => "returned".to_owned(),
                    ReturnOutcome::Leased => "leased".to_owned(),
                    ReturnOutcome::Gone => "gone".to_owned(),
                    ReturnOutcome::NotMine => "not_mine".to_owned(),
                }
            }
            Request::Promote(issue) => match answer(store.promote(&self.issue(issue)).await) {
                PromoteOutcome::Promoted => "promoted".to_owned(),
                PromoteOutcome::Gone => "gone".to_owned(),
                PromoteOutcome::NotDue => "not_due".to_owned(),
            },
            Request::Cancel { issue, holder } => self.cancel(issue, holder).await,
            Request::Approve {
                issue,
                base,
                is_submitter,
            } => self.approve(issue, base, is_submitter).await,
            Request::Decline(issue) => self.decline(issue).await,
            Request::Expire(issue) => self.expire(issue).await,
            Request::Put(b) => {
                let head = before.redis.queues[usize::from(b)].head;
                let new = self.written_by_hand(b, head);
                let put = store.put_blueprint(&new, ExpectedHead::Any, "by hand");
                match answer(put.await) {
                    PutOutcome::Created(_) => "done".to_owned(),
                    other => unexpected(other),
                }
            }
            Request::Pause(b) => done(answer(
                store
                    .pause_queue(Some(&target(b)), &Actor::anonymous())
                    .await,
            )),
            Request::Resume(b) => done(answer(store.resume_queue(Some(&target(b))).await)),
            Request::Audit(b) => self.audit(before, b).await,
            Request::NameOrbit(b) => {
                self.fixture.set_orbit(&blueprint_name(b), true, true).await;
                "done".to_owned()
            }
        }
    }

    /// Without blocking: the model pops only if an element is ready.
    async fn pop(&self, worker: WorkerNo) -> String {
        let keys = self.fixture.store.keys();
        let list = keys.processing(&worker_name(worker));
        let pop = ["RPOPLPUSH", &keys.pending(), &list];
        let popped: Option<String> = self.fixture.raw(&pop).await;
        match popped {
            Some(element) => {
                let issue = IssueRef::parse(&element).expect("an element of pending");
                format!("popped {}", issue.issue_id)
            }
            None => "gone".to_owned(),
        }
    }

    async fn claim(&self, w: WorkerNo, issue: IssueNo, nonce: u8, promise: bool) -> String {
        let mode = match promise {
            true => ClaimMode::Exclusive,
            false => ClaimMode::Shared {
                shared_run_limit: u32::from(self.scenario.alone_from) - 1,
            },
        };
        let (issue, w, nonce) = (self.issue(issue), worker(w), nonce_text(nonce));
        let store = &self.fixture.store;
        match answer(store.claim(&issue, &w, &nonce, LONG, None, mode).await) {
            ClaimOutcome::Claimed(claimed) => {
                format!("ok {} at {}", claimed.lease.token, number(claimed.head.seq))
            }
            ClaimOutcome::Gone => "gone".to_owned(),
            ClaimOutcome::NotMine => "not_mine".to_owned(),
            ClaimOutcome::Held => "held".to_owned(),
            ClaimOutcome::Parked => "parked".to_owned(),
            ClaimOutcome::OrbitNeedsAdmin => "orbit_needs_admin".to_owned(),
            ClaimOutcome::MustBeAlone => "alone".to_owned(),
            other @ ClaimOutcome::Archived => unexpected(other),
        }
    }

    async fn settle(&self, held: Held, verdict: Verdict, seq: u8, next: Option<u8>) -> String {
        let how = match verdict {
            Verdict::Applied => How::Applied,
            Verdict::Review => How::Review,
            Verdict::Denied => How::Denied,
        };
        let mut claimed = self.claimed(held, seq);
        // The model does not know the content of settings.
        claimed.settings_counter = answer(self.fixture.store.settings_counter().await);
        let nonce = next.map(nonce_text);
        let next = nonce.as_deref().map(|nonce| NextClaim {
            nonce,
            lease_ms: LONG,
            known: None,
            yields: false,
        });
        let settled = self.fixture.settle_with(&claimed, how, next.as_ref()).await;
        match answer(settled) {
            (SettleOutcome::Settled(_), None) => "ok".to_owned(),
            (SettleOutcome::Settled(_), Some(next)) => format!(
                "ok, next {} {} at {}",
                next.lease.issue.issue_id,
                next.lease.token,
                number(next.head.seq)
            ),
            (SettleOutcome::Stale, None) => "stale".to_owned(),
            (SettleOutcome::MovedHead { head, .. }, None) => {
                format!("moved_head {}", number(head.seq))
            }
            (SettleOutcome::OrbitNeedsAdmin, None) => "orbit_needs_admin".to_owned(),
            other => unexpected(other),
        }
    }

    fn lease(&self, held: Held) -> Lease {
        Lease {
            issue: self.issue(held.issue),
            worker_id: worker(held.worker),
            token: token_text(held.token),
        }
    }

    /// The claimed issue as its holder keeps it. Only the lease and the number of the head decide
    /// anything.
    fn claimed(&self, held: Held, seq: u8) -> Claimed {
        Claimed {
            lease: self.lease(held),
            attempt: 1,
            retries: 0,
            intent: "an intent".to_owned(),
            submitted_at_ms: 0,
            claimed_at_ms: 0,
            settings_counter: 0,
            head: Head {
                seq: u64::from(seq) + 1,
                version: self.first_version.clone(),
                document: None,
            },
            trace: None,
            submitted_by: None,
            stored_patch: None,
        }
    }

    async fn beat(&self, before: &State, w: WorkerNo) -> String {
        let tasks = before.workers[usize::from(w)].tasks.iter();
        let held = tasks.filter_map(|task| match task.phase {
            Phase::Working { token, grant, .. } => Some(self.lease(Held {
                issue: task.issue,
                worker: w,
                token,
                grant,
            })),
            Phase::Claiming { .. } => None,
        });
        let held: Vec<Lease> = held.collect();
        let beat = self.fixture.store.beat(&worker(w), LONG, &held).await;
        let Beat {
            lost,
            cancelled,
            unleased,
            ..
        } = answer(beat);
        let names = |issues: Vec<IssueRef>| {
            let names: Vec<_> = issues.iter().map(|i| i.issue_id.as_str()).collect();
            format!("[{}]", names.join(" "))
        };
        beat_text(names(lost), names(cancelled), names(unleased))
    }

    /// By the script itself: the typed function reads the holder again.
    async fn reap(&self, issue: IssueNo, holder: Option<WorkerNo>) -> String {
        let holder = holder.map_or_else(|| NOBODY.to_owned(), worker_name);
        // Without jitter the issue is due at once.
        let own = json!({
            "max_attempts": self.scenario.max_deaths,
            "jitter": 0.0,
            "log": r#"{"cause":"failed"}"#,
        });
        let (store, issue) = (&self.fixture.store, self.issue(issue));
        answer(outcome_for(store, "reap_issue", &issue, &holder, own).await)
    }

    /// By the script itself: the typed function reads the holder again.
    async fn cancel(&self, issue: IssueNo, holder: Option<WorkerNo>) -> String {
        let holder = holder.map_or_else(|| NOBODY.to_owned(), worker_name);
        let own = json!({
            "log": r#"{"cause":"cancelled"}"#,
            "authority": authority(self.scenario.admin_cancels).as_str(),
            "is_bundled": false,
            "decided_by": "",
        });
        let (store, issue) = (&self.fixture.store, self.issue(issue));
        answer(outcome_for(store, "cancel_issue", &issue, &holder, own).await)
    }

    /// By the script itself: the typed function audits all queues.
    async fn audit(&self, before: &State, b: BlueprintNo) -> String {
        let head = before.redis.queues[usize::from(b)].backlog.first();
        let head = head.map_or_else(|| NOBODY.to_owned(), |issue| issue_name(*issue));
        let workers: Vec<String> = (0..self.scenario.n_workers as WorkerNo)
            .map(worker_name)
            .collect();
        let own = json!({ "workers": workers });
        let store = &self.fixture.store;
        answer(outcome_of_queue(store, "audit_queue", &target(b), &head, NOBODY, own).await)
    }
}

fn target(blueprint: BlueprintNo) -> shared::ids::BlueprintId {
    blueprint_id(&blueprint_name(blueprint))
}

fn done(is_known: bool) -> String {
    if is_known { "done" } else { "unknown_target" }.to_owned()
}
