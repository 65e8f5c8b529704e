//! Everything that workers and callers can do with the scripts, in any order: the rules of the
//! queue hold after every step, and in the end everything is decided once.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{IssueId, WorkerId};
use shared::issue::{Issue, IssueState, RejectionCause};
use shared::store::{
    CancelOutcome, ClaimOutcome, Claimed, IssueRef, Lease, PageRequest, PromoteOutcome,
    ReapOutcome, Release, ReleaseOutcome, ReturnOutcome, SettleOutcome, SubmitOutcome,
};
use shared::version_selector::VersionSelector;
use tests::store_audit::{audit, dump, violations};
use tests::store_stand::{
    BESIDE, How, LONG, OVER, Stand, blueprint_id, fault, marked, new_issue, worker_id,
};

/// Splitmix64: the same seed gives the same run of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// Takes one away.
    fn draw<T>(&mut self, from: &mut Vec<T>) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(self.roll(from.len())))
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[self.roll(from.len())])
    }
}

const N_BLUEPRINTS: usize = 8;
const N_STEPS: usize = 3000;
/// Enough that none is dead by bad luck alone; poison issues have a test of their own.
const PATIENT: u32 = 1000;

/// Workers, submitters, cancellers and reapers in one, each step one call of one of them.
struct Chaos<'a> {
    stand: &'a Stand,
    dice: Dice,
    workers: Vec<WorkerId>,
    /// What was popped and is not claimed yet.
    popped: Vec<(WorkerId, IssueRef)>,
    /// What a worker believes to hold.
    held: Vec<Claimed>,
    /// What a worker held once.
    past: Vec<Claimed>,
    /// The accepted issues of each Blueprint, in order.
    accepted: BTreeMap<String, Vec<String>>,
    /// Those that were called off.
    cancelled: BTreeSet<String>,
    /// How often each outcome was seen: a run that never met one proves nothing of it.
    seen: BTreeMap<&'static str, usize>,
}

impl Chaos<'_> {
    fn saw(&mut self, outcome: &'static str) {
        *self.seen.entry(outcome).or_default() += 1;
    }

    async fn step(&mut self) {
        match self.dice.roll(100) {
            0..15 => self.submit().await,
            15..36 => self.pop().await,
            36..55 => self.claim().await,
            55..72 => self.settle().await,
            72..76 => self.late().await,
            76..80 => self.release().await,
            80..83 => self.cancel().await,
            83..88 => self.reap().await,
            88..93 => self.promote().await,
            93..95 => self.give_back().await,
            95..97 => self.die().await,
            97 => self.beat().await,
            _ => self.write_by_hand().await,
        }
    }

    async fn submit(&mut self) {
        // The first Blueprint is hot.
        let n = self.dice.roll(2 * N_BLUEPRINTS) % (N_BLUEPRINTS + 1) % N_BLUEPRINTS;
        let name = format!("bp-{n}");
        let accepted = self.accepted.entry(name.clone()).or_default();
        if self.dice.roll(5) == 0
            && let Some(known) = self.dice.pick(accepted)
        {
            let again = new_issue(&name, known);
            let outcome = self.stand.step(self.stand.store.submit(&again)).await;
            assert!(matches!(outcome, SubmitOutcome::Existed(_)), "{outcome:?}");
            return self.saw("existed");
        }
        let id = format!("{name}.{}", accepted.len());
        accepted.push(id.clone());
        self.stand.submit(&name, &id).await;
    }

    async fn pop(&mut self) {
        let worker = self.dice.pick(&self.workers).expect("workers").clone();
        if let Some(issue) = self.stand.pop(&worker).await {
            audit(&self.stand.store).await;
            self.popped.push((worker, issue));
        }
    }

    async fn claim(&mut self) {
        let Some((worker, issue)) = self.dice.draw(&mut self.popped) else {
            return;
        };
        let nonce = format!("n{}", self.dice.roll(1 << 30));
        let lease_ms = if self.dice.roll(4) == 0 { OVER } else { LONG };
        let claim = || {
            self.stand
                .store
                .claim(&issue, &worker, &nonce, lease_ms, None, BESIDE)
        };
        let first = self.stand.step(claim()).await;
        let outcome = if self.dice.roll(5) == 0 {
            let again = self.stand.step(claim()).await;
            match (&first, &again) {
                (ClaimOutcome::Claimed(first), ClaimOutcome::Claimed(again)) => {
                    assert_eq!(first.lease, again.lease);
                }
                (ClaimOutcome::Gone | ClaimOutcome::NotMine, ClaimOutcome::NotMine) => {}
                other => panic!("{other:?}"),
            }
            self.saw("claimed again");
            first
        } else {
            first
        };
        match outcome {
            ClaimOutcome::Claimed(claimed) => self.held.push(*claimed),
            ClaimOutcome::Gone => self.saw("claim gone"),
            ClaimOutcome::NotMine => self.saw("claim not mine"),
            other => panic!("{other:?}"),
        }
    }

    fn how(&mut self) -> How {
        match self.dice.roll(8) {
            0 => How::Denied,
            1 => How::Failed,
            2 => How::Dead,
            _ => How::Applied,
        }
    }

    async fn settle(&mut self) {
        let Some(mut claimed) = self.dice.draw(&mut self.held) else {
            return;
        };
        let how = self.how();
        let mut outcome = self.stand.step(self.stand.settle(&claimed, how)).await;
        if let SettleOutcome::MovedHead(head) = outcome {
            self.saw("moved head");
            claimed.head = head;
            outcome = self.stand.step(self.stand.settle(&claimed, how)).await;
        }
        match &outcome {
            SettleOutcome::Settled(_) if self.dice.roll(4) == 0 => {
                let again = self.stand.step(self.stand.settle(&claimed, how)).await;
                assert_eq!(again, outcome);
                self.saw("settled again");
            }
            SettleOutcome::Settled(_) => self.saw("settled"),
            SettleOutcome::Stale => self.saw("settle stale"),
            other => panic!("{other:?}"),
        }
        self.past.push(claimed);
    }

    /// A worker that stalled comes back with what it held long ago. Only if it was taken for dead
    /// and nobody reaped its lease yet may it still decide.
    async fn late(&mut self) {
        let Some(claimed) = self.dice.pick(&self.past).cloned() else {
            return;
        };
        let issue = self.stand.issue(&claimed.lease.issue).await;
        let leases = self.stand.store.keys().leases();
        let element = claimed.lease.issue.element();
        let score: Option<f64> = self.stand.raw(&["ZSCORE", &leases, &element]).await;
        let may_hold = score.is_some() && issue.worker_id == claimed.lease.worker_id.as_str();
        if self.dice.roll(2) == 0 {
            let outcome = self
                .stand
                .step(self.stand.settle(&claimed, How::Applied))
                .await;
            let is_fenced = match outcome {
                SettleOutcome::Stale => true,
                // Decided by an earlier call under this token.
                SettleOutcome::Settled(state) => state == issue.state,
                _ => false,
            };
            assert!(may_hold || is_fenced, "{outcome:?}");
        } else {
            let release = self.stand.store.release(&claimed.lease, &Release::Shutdown);
            let outcome = self.stand.step(release).await;
            assert!(may_hold || outcome == ReleaseOutcome::Stale, "{outcome:?}");
        }
        self.saw("late");
    }

    async fn release(&mut self) {
        let Some(claimed) = self.dice.draw(&mut self.held) else {
            return;
        };
        let release = if self.dice.roll(2) == 0 {
            Release::Shutdown
        } else {
            fault(0)
        };
        let call = || self.stand.store.release(&claimed.lease, &release);
        let outcome = self.stand.step(call()).await;
        self.saw(if outcome == ReleaseOutcome::Stale {
            "release stale"
        } else {
            "released"
        });
        assert_eq!(self.stand.step(call()).await, ReleaseOutcome::Stale);
        self.past.push(claimed);
    }

    async fn cancel(&mut self) {
        let names: Vec<String> = self.accepted.keys().cloned().collect();
        let Some(name) = self.dice.pick(&names) else {
            return;
        };
        // Mostly one of the last, which is likely to be open.
        let accepted = &self.accepted[name];
        let last = &accepted[accepted.len().saturating_sub(4)..];
        let Some(id) = self.dice.pick(last) else {
            return;
        };
        let mut id = IssueId::parse(id).expect("an id");
        if self.dice.roll(4) == 0
            && let Some((_, popped)) = self.dice.pick(&self.popped)
        {
            id = popped.issue_id.clone();
        }
        match self.stand.step(self.stand.store.cancel_issue(&id)).await {
            CancelOutcome::Cancelled(_) => {
                self.cancelled.insert(id.to_string());
                self.saw("cancelled");
            }
            CancelOutcome::Decided(_) => self.saw("cancel decided"),
            CancelOutcome::NotFound => panic!("{id} is lost"),
        }
    }

    async fn reap(&mut self) {
        let expired = self
            .stand
            .store
            .expired_leases(100)
            .await
            .expect("Redis answers");
        let Some(issue) = self.dice.pick(&expired).cloned() else {
            return;
        };
        let outcome = self
            .stand
            .step(self.stand.store.reap(&issue, PATIENT, 0.0))
            .await;
        assert_eq!(outcome, ReapOutcome::Delayed(0));
        self.saw("reaped");
    }

    async fn promote(&mut self) {
        let due = self
            .stand
            .store
            .due_issues(100)
            .await
            .expect("Redis answers");
        let Some(issue) = self.dice.pick(&due).cloned() else {
            return;
        };
        let outcome = self.stand.step(self.stand.store.promote(&issue)).await;
        assert_eq!(outcome, PromoteOutcome::Promoted);
        self.saw("promoted");
    }

    async fn give_back(&mut self) {
        if let Some((worker, issue)) = self.dice.draw(&mut self.popped) {
            let call = self.stand.store.return_element(&issue, worker.as_str());
            let outcome = self.stand.step(call).await;
            self.saw(if outcome == ReturnOutcome::Returned {
                "returned"
            } else {
                "return gone"
            });
        }
    }

    /// A worker dies; a reaper looks through its list, and its leases are made to run out.
    async fn die(&mut self) {
        let at = self.dice.roll(self.workers.len());
        let born = worker_id(&format!("w{}", self.dice.roll(1 << 30)));
        let dead = std::mem::replace(&mut self.workers[at], born);
        // Half of the time it was only silent, and still means to claim what it popped.
        if self.dice.roll(2) == 0 {
            self.popped.retain(|(worker, _)| *worker != dead);
        }
        let (of_dead, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|claimed| claimed.lease.worker_id == dead);
        self.held = held;
        let of_dead: Vec<Claimed> = of_dead;
        let leases: Vec<Lease> = of_dead
            .iter()
            .map(|claimed| claimed.lease.clone())
            .collect();
        self.stand
            .step(self.stand.store.beat(&dead, OVER, &leases))
            .await;
        for issue in self
            .stand
            .store
            .processing(dead.as_str())
            .await
            .expect("Redis answers")
        {
            let call = self.stand.store.return_element(&issue, dead.as_str());
            self.stand.step(call).await;
        }
        self.past.extend(of_dead);
        self.saw("died");
    }

    async fn beat(&mut self) {
        let worker = self.dice.pick(&self.workers).expect("workers").clone();
        let mine = self
            .held
            .iter()
            .filter(|claimed| claimed.lease.worker_id == worker);
        let leases: Vec<Lease> = mine.map(|claimed| claimed.lease.clone()).collect();
        let beat = self
            .stand
            .step(self.stand.store.beat(&worker, LONG, &leases))
            .await;
        for issue in &beat.unleased {
            let known = self.popped.iter().any(|(w, i)| *w == worker && i == issue);
            assert!(known, "{worker} never popped {issue:?}");
        }
        self.saw("beat");
    }

    async fn write_by_hand(&mut self) {
        // Mostly one that somebody works on.
        let name = match self.dice.pick(&self.held) {
            Some(claimed) => claimed.lease.issue.blueprint_id.to_string(),
            None => format!("bp-{}", self.dice.roll(N_BLUEPRINTS)),
        };
        let mark = format!("by hand {}", self.dice.roll(1 << 30));
        self.stand.put(&marked(&name, &mark, "")).await;
        self.saw("by hand");
    }

    /// Works until nothing is left to do.
    async fn finish(&mut self) {
        loop {
            while !self.held.is_empty() {
                self.settle().await;
            }
            while !self.popped.is_empty() {
                self.claim().await;
            }
            for issue in self
                .stand
                .store
                .expired_leases(100)
                .await
                .expect("Redis answers")
            {
                self.stand
                    .step(self.stand.store.reap(&issue, PATIENT, 0.0))
                    .await;
            }
            for issue in self
                .stand
                .store
                .due_issues(100)
                .await
                .expect("Redis answers")
            {
                self.stand.step(self.stand.store.promote(&issue)).await;
            }
            self.pop().await;
            let left = self.popped.len() + self.held.len();
            let stats = self.stand.store.queue_stats().await.expect("Redis answers");
            if left == 0 && (stats.pending, stats.in_flight, stats.delayed) == (0, 0, 0) {
                return;
            }
        }
    }

    /// Everything accepted is decided, once, in order, and the log, the issues and the commits
    /// say the same.
    async fn check_end(&self) {
        let store = &self.stand.store;
        let everything_left = dump(store).await;
        assert_eq!(violations(&everything_left), Vec::<String>::new());
        let queues = [
            "pending",
            "processing",
            "backlog",
            "places",
            "leases",
            "delayed",
            "waiting",
        ];
        for key in everything_left.keys() {
            let name = key.rsplit("}:").next().and_then(|n| n.split(':').next());
            assert!(!queues.contains(&name.expect("a name")), "{key} is left");
        }
        let everything = PageRequest {
            size: 100_000,
            after: None,
        };
        for (name, accepted) in &self.accepted {
            let id = blueprint_id(name);
            let entries = store
                .list_log_entries(Some(&id), false, &everything)
                .await
                .expect("Redis answers")
                .items;
            let decided: Vec<String> = entries.iter().map(|e| e.issue_id.to_string()).collect();
            let in_order = |ids: &[String]| -> Vec<String> {
                ids.iter()
                    .filter(|id| !self.cancelled.contains(*id))
                    .cloned()
                    .collect()
            };
            assert_eq!(in_order(&decided), in_order(accepted), "{name}");
            let (unique, all): (BTreeSet<&String>, BTreeSet<&String>) =
                (decided.iter().collect(), accepted.iter().collect());
            assert_eq!((unique.len(), &unique), (decided.len(), &all), "{name}");

            let mut applied = Vec::new();
            for entry in &entries {
                let issue = store
                    .issue(&entry.issue_id)
                    .await
                    .expect("Redis answers")
                    .expect("an issue");
                self.check_entry(&issue);
                assert_eq!((issue.cause, issue.attempt), (entry.cause, entry.attempt));
                let version = issue.new_version.map(|v| v.to_string()).unwrap_or_default();
                assert_eq!(
                    (version.as_str(), entry.ts_ms),
                    (entry.new_hash.as_str(), issue.updated_at_ms)
                );
                if issue.state == IssueState::Applied {
                    applied.push((issue.issue_id, version));
                }
            }
            let mut commits = store
                .list_commits(&id, &everything)
                .await
                .expect("Redis answers")
                .expect("commits")
                .items;
            commits.reverse();
            for (at, commit) in commits.iter().enumerate() {
                let parents = at
                    .checked_sub(1)
                    .map(|before| commits[before].version.clone());
                assert_eq!(
                    (commit.seq, &commit.parents),
                    (at as u64 + 1, &Vec::from_iter(parents))
                );
                let fixed = VersionSelector::Fixed(commit.version.clone());
                let found = store.blueprint(&id, &fixed).await.expect("Redis answers");
                assert_eq!(
                    found.expect("a version").blueprint.version(),
                    &commit.version
                );
            }
            let made: Vec<_> = commits
                .into_iter()
                .filter_map(|commit| Some((commit.issue_id?, commit.version.to_string())))
                .collect();
            assert_eq!(made, applied, "{name}");
        }
    }

    fn check_entry(&self, issue: &Issue) {
        assert!(issue.state.is_terminal(), "{issue:?}");
        let is_cancelled = issue.cause == Some(RejectionCause::Cancelled);
        assert_eq!(
            self.cancelled.contains(issue.issue_id.as_str()),
            is_cancelled,
            "{issue:?}"
        );
    }
}

#[tokio::test]
async fn anything_in_any_order_keeps_the_rules() {
    let seed = match std::env::var("DRAFTSMAN_TEST_SEED") {
        Ok(text) => text.parse().expect("DRAFTSMAN_TEST_SEED is a number"),
        Err(_) => u64::from(std::process::id()) ^ 0x5eed,
    };
    println!("the same choices again: DRAFTSMAN_TEST_SEED={seed}");
    let names: Vec<String> = (0..N_BLUEPRINTS).map(|n| format!("bp-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stand = Stand::with(&names).await;
    let mut chaos = Chaos {
        stand: &stand,
        dice: Dice(seed),
        workers: (0..4).map(|n| worker_id(&format!("w{n}"))).collect(),
        popped: Vec::new(),
        held: Vec::new(),
        past: Vec::new(),
        accepted: BTreeMap::new(),
        cancelled: BTreeSet::new(),
        seen: BTreeMap::new(),
    };
    for _ in 0..N_STEPS {
        chaos.step().await;
    }
    chaos.finish().await;
    chaos.check_end().await;
    println!("{:?}", chaos.seen);
    // Rarer ones may be missed by an unlucky run.
    for outcome in [
        "existed",
        "claimed again",
        "claim gone",
        "moved head",
        "settled",
        "settled again",
        "settle stale",
        "late",
        "released",
        "cancelled",
        "cancel decided",
        "reaped",
        "promoted",
        "returned",
        "died",
        "beat",
        "by hand",
    ] {
        assert!(
            chaos.seen.contains_key(outcome),
            "never met: {outcome}; {:?}",
            chaos.seen
        );
    }
}
