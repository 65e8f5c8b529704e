//! The script that decides an issue for its holder, and leases the queue's next issue to it.

use crate::model::mistakes::Mistake;
use crate::model::requests::{HandOver, Held, Reply, Verdict};
use crate::model::rules::Rule;
use crate::model::scripts::Scripts;
use crate::model::state::{BlueprintNo, Commit, IssueState, WorkerNo};

impl Scripts<'_> {
    /// Leases the next head to the caller of a settle, or places it.
    fn take_next(
        &mut self,
        worker: WorkerNo,
        blueprint: BlueprintNo,
        nonce: u8,
    ) -> Option<HandOver> {
        let queue = self.queue(blueprint);
        let (seq, paused) = (queue.head, queue.paused);
        let Some(&issue) = queue.backlog.first() else {
            self.place_head(blueprint, false);
            return None;
        };
        let waits = paused && !self.makes(Mistake::HandOverIgnoresPause);
        if waits || self.orbit_forbids(issue, Mistake::HandOverIgnoresOrbit) {
            self.place_head(blueprint, false);
            return None;
        }
        if self.makes(Mistake::HandOverPlacesToo) {
            self.redis.pending.insert(0, issue);
        }
        self.redis.processing[worker as usize].insert(0, issue);
        let (token, grant) = self.grant(worker, issue, nonce, false);
        Some(HandOver {
            issue,
            nonce,
            token,
            grant,
            seq,
        })
    }

    /// The issue that an earlier call of this settle handed over, if its lease is the present one.
    fn taken_before(&mut self, blueprint: BlueprintNo, nonce: u8) -> Option<HandOver> {
        if self.makes(Mistake::HandOverForgets) {
            return None;
        }
        let queue = self.queue(blueprint);
        let (seq, issue) = (queue.head, *queue.backlog.first()?);
        let f = self.issue(issue).clone();
        let is_it = f.state == IssueState::InFlight && f.nonce == Some(nonce);
        Some(HandOver {
            issue,
            nonce,
            token: f.token.filter(|_| is_it)?,
            grant: self.truth.grants[issue as usize],
            seq,
        })
    }

    pub(super) fn settle(
        &mut self,
        held: Held,
        verdict: Verdict,
        seq: u8,
        base: u8,
        next: Option<u8>,
    ) -> Reply {
        let issue = held.issue;
        let blueprint = self.scenario.issues[issue as usize];
        let f = self.issue(issue).clone();
        let looks = match verdict {
            Verdict::Review => !self.makes(Mistake::ProposeUnfenced),
            Verdict::Applied | Verdict::Denied => !self.makes(Mistake::SettleUnfenced),
        };
        if f.token != Some(held.token) && looks {
            return Reply::Stale;
        }
        if !self.makes(Mistake::SettleRepeats) {
            if f.state.is_terminal() || f.state == IssueState::InReview {
                let forgets = self.makes(Mistake::SettleForgets);
                if f.state == IssueState::Cancelled || forgets {
                    return Reply::Stale;
                }
                if f.state == IssueState::Refused {
                    return Reply::OrbitNeedsAdmin;
                }
                let next = next.and_then(|nonce| self.taken_before(blueprint, nonce));
                return Reply::Settled { again: true, next };
            }
            if f.state != IssueState::InFlight {
                return Reply::Stale;
            }
        }
        if verdict != Verdict::Denied && self.orbit_forbids(issue, Mistake::SettleIgnoresOrbit) {
            self.decide(issue, IssueState::Refused, Some(held.worker), false);
            return Reply::OrbitNeedsAdmin;
        }
        let head = self.queue_of(issue).head;
        if head != seq && !self.makes(Mistake::SettleOverAnyHead) {
            return Reply::MovedHead(head);
        }

        self.hold_against_truth(held);
        // A head without a lease keeps its place.
        let next = next.filter(|_| self.is_head(issue));
        let how = match verdict {
            Verdict::Denied => Some(IssueState::Denied),
            Verdict::Review => None,
            Verdict::Applied => {
                let queue = self.queue_of(issue);
                queue.commits.push(Commit {
                    seq: seq + 1,
                    parent: head,
                    base,
                    by: Some(issue),
                });
                queue.head = seq + 1;
                Some(IssueState::Applied)
            }
        };
        match how {
            Some(how) => self.decide(issue, how, Some(held.worker), next.is_some()),
            None => self.propose(held, base, next.is_some()),
        }
        self.truth.decided_by[issue as usize] = Some(held.grant);
        let next = next.and_then(|nonce| self.take_next(held.worker, blueprint, nonce));
        Reply::Settled { again: false, next }
    }

    /// Checks that a caller which decides or releases holds the present lease, the last one granted
    /// for this issue.
    pub(super) fn hold_against_truth(&mut self, held: Held) {
        let last = self.truth.grants[held.issue as usize];
        if last != held.grant {
            self.truth.broken.add(Rule::Fenced);
        }
    }
}
