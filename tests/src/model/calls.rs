//! The calls of Redis that are possible now: those of intake, of the workers' loops and of people.

use crate::model::Protocol;
use crate::model::mistakes::Mistake;
use crate::model::requests::{Held, Release, Request, Verdict};
use crate::model::reviews;
use crate::model::rules::place_is_true;
use crate::model::state::{
    BlueprintNo, Call, Caller, IssueNo, IssueState, Lease, Phase, State, Status, Task, Worker,
    WorkerNo,
};

/// Collects the calls of submitters and cancellers.
pub(super) fn client_calls(model: &Protocol, state: &State, call: &mut impl FnMut(Request)) {
    for i in 0..state.redis.issues.len() as IssueNo {
        // Submitters of one Blueprint are sequential; issue numbers are the order of acceptance.
        let older = (0..i)
            .filter(|o| model.scenario.issues[*o as usize] == model.scenario.issues[i as usize]);
        let is_next = older.into_iter().all(|o| {
            state.submitters[o as usize] == Caller::Refused
                || state.redis.issues[o as usize].state != IssueState::Unknown
        });
        let caller = state.submitters[i as usize];
        if is_next && !matches!(caller, Caller::Answered | Caller::Refused) {
            call(Request::Submit(i));
        }
        if state.cancellers[i as usize] == Caller::Unsure {
            call(cancel(state, i));
        }
    }
    reviews::repeated_calls(state, call);
}

/// Whether the flow of an issue ends in a review. A change that was proposed before always does.
fn needs_review(model: &Protocol, state: &State, issue: IssueNo) -> bool {
    let is_rerun = state.redis.issues[issue as usize].round > 0;
    model.scenario.reviews.contains(&issue) && !(is_rerun && model.makes(Mistake::RerunCommits))
}

fn cancel(state: &State, issue: IssueNo) -> Request {
    let holder = state.redis.issues[issue as usize].worker;
    Request::Cancel { issue, holder }
}

/// Collects the calls of a worker's consumer, dispatches and heartbeat.
pub(super) fn worker_calls(
    model: &Protocol,
    state: &State,
    w: WorkerNo,
    call: &mut impl FnMut(Request),
) {
    let worker = &state.workers[w as usize];
    if !matches!(worker.status, Status::Up | Status::Stopping) {
        return;
    }
    let free = model.scenario.slots - worker.tasks.len();
    if worker.status == Status::Up && free > 0 && !state.redis.pending.is_empty() {
        call(Request::Pop(w));
    }
    for (at, task) in worker.tasks.iter().enumerate() {
        let others = worker.tasks.iter().enumerate().filter(|(o, _)| *o != at);
        let mut others = others.map(|(_, other)| other);
        match task.phase {
            Phase::Claiming { promise, .. } => {
                // An exclusive run waits until no other issue runs, and no other issue starts
                // beside it.
                let must_wait = if promise {
                    others.any(has_asked)
                } else {
                    others.any(|o| match o.phase {
                        Phase::Working { alone, .. } => alone,
                        Phase::Claiming { promise, unsure } => promise && unsure,
                    })
                };
                if !must_wait || model.makes(Mistake::AloneNotKept) {
                    call(Request::Claim {
                        worker: w,
                        issue: task.issue,
                        nonce: task.nonce,
                        promise,
                    });
                }
            }
            Phase::Working { unsure, .. } => {
                let with_next = asks_for_next(model, worker, task);
                let end = unsure.unwrap_or(if needs_review(model, state, task.issue) {
                    Call::Propose { with_next }
                } else {
                    Call::Apply { with_next }
                });
                call(end_of(w, task, end));
                if unsure.is_none() && worker.status == Status::Stopping {
                    call(end_of(w, task, Call::HandBack));
                }
            }
        }
    }
    let redis = &state.redis;
    let has_news = worker.tasks.iter().any(|task| match task.phase {
        Phase::Working { token, .. } => {
            redis.issues[task.issue as usize].token != Some(token)
                || redis.issues[task.issue as usize].state != IssueState::InFlight
                || redis.leases[task.issue as usize] == Lease::RanOut
        }
        Phase::Claiming { .. } => false,
    });
    let is_found = |e: &IssueNo| redis.leases[*e as usize] == Lease::None && !worker.is_open(*e);
    let finds = worker.status == Status::Up
        && free > 0
        && !model.makes(Mistake::NoUnleased)
        && redis.processing[w as usize].iter().any(is_found);
    if has_news || finds {
        call(Request::Beat(w));
    }
}

/// Whether a settle that is sent now asks for the queue's next issue. A worker that shuts down does
/// not ask, nor does a worker with an exclusive run.
fn asks_for_next(model: &Protocol, worker: &Worker, task: &Task) -> bool {
    let is_alone = matches!(task.phase, Phase::Working { alone: true, .. });
    model.scenario.hands_over && worker.status == Status::Up && !is_alone
}

/// The offset from a task's nonce to the nonce of the issue that its settle asks for. It exceeds
/// every nonce of a claim.
const NEXT_NONCE: u8 = 64;

/// The call that ends a lease.
fn end_of(worker: WorkerNo, task: &Task, end: Call) -> Request {
    let Phase::Working {
        token,
        grant,
        seq,
        base,
        ..
    } = task.phase
    else {
        unreachable!("only a task that has a lease ends one")
    };
    let held = Held {
        issue: task.issue,
        worker,
        token,
        grant,
    };
    let settle = |verdict, with_next: bool| Request::Settle {
        held,
        verdict,
        seq,
        base,
        next: with_next.then(|| task.nonce + NEXT_NONCE),
    };
    let release = |why| Request::Release { held, why };
    match end {
        Call::Apply { with_next } => settle(Verdict::Applied, with_next),
        Call::Propose { with_next } => settle(Verdict::Review, with_next),
        Call::Deny { with_next } => settle(Verdict::Denied, with_next),
        Call::PutOff => release(Release::Fault),
        Call::Wait => release(Release::Busy),
        Call::HandBack => release(Release::Shutdown),
    }
}

/// Collects the calls of reapers, promoters and the audit, and of operators who resume.
pub(super) fn background_calls(model: &Protocol, state: &State, call: &mut impl FnMut(Request)) {
    let redis = &state.redis;
    let is_there = |w: &Worker| matches!(w.status, Status::Up | Status::Stopping);
    if !state.workers.iter().any(is_there) {
        return;
    }
    for i in 0..redis.issues.len() as IssueNo {
        if redis.leases[i as usize] == Lease::RanOut {
            let holder = redis.issues[i as usize].worker;
            call(Request::Reap { issue: i, holder });
        }
        if redis.delayed[i as usize] {
            call(Request::Promote(i));
        }
    }
    reviews::background_calls(state, call);
    for (w, worker) in state.workers.iter().enumerate() {
        let is_looked_at = match worker.status {
            Status::Dead | Status::Ended => {
                redis.registered[w] && !model.makes(Mistake::UnclaimedStays)
            }
            Status::Stopping => worker.tasks.is_empty(),
            Status::Up | Status::Paused => false,
        };
        if is_looked_at {
            for issue in &redis.processing[w] {
                call(Request::Return {
                    worker: w as WorkerNo,
                    issue: *issue,
                });
            }
        }
    }
    for (b, queue) in redis.queues.iter().enumerate() {
        let b = b as BlueprintNo;
        if queue.paused {
            call(Request::Resume(b));
        }
        if !place_is_true(redis, b) && !model.makes(Mistake::NoAudit) {
            call(Request::Audit(b));
        }
    }
}

/// Collects the calls that no step depends on.
pub(super) fn optional_calls(model: &Protocol, state: &State, call: &mut impl FnMut(Request)) {
    let (redis, faults) = (&state.redis, &state.faults);
    for i in 0..redis.issues.len() as IssueNo {
        let issue = &redis.issues[i as usize];
        let is_asked = state.cancellers[i as usize] != Caller::Idle;
        if faults.cancels > 0 && !is_asked && issue.state != IssueState::Unknown {
            call(cancel(state, i));
        }
    }
    reviews::first_calls(model, state, call);
    for (w, worker) in state.workers.iter().enumerate() {
        let w = w as WorkerNo;
        if worker.status == Status::Paused {
            // A reaper takes a silent worker for dead.
            for issue in &redis.processing[w as usize] {
                call(Request::Return {
                    worker: w,
                    issue: *issue,
                });
            }
        }
        if !matches!(worker.status, Status::Up | Status::Stopping) {
            continue;
        }
        for task in &worker.tasks {
            let Phase::Working { unsure: None, .. } = task.phase else {
                continue;
            };
            if faults.denials > 0 {
                let with_next = asks_for_next(model, worker, task);
                call(end_of(w, task, Call::Deny { with_next }));
            }
            let retries = redis.issues[task.issue as usize].retries;
            if faults.passing > 0 && retries < model.scenario.max_retries {
                call(end_of(w, task, Call::PutOff));
            }
            if faults.busy > 0 {
                call(end_of(w, task, Call::Wait));
            }
        }
    }
    for (b, queue) in redis.queues.iter().enumerate() {
        let b = b as BlueprintNo;
        if faults.puts > 0 {
            call(Request::Put(b));
        }
        if faults.holds > 0 && !queue.paused {
            call(Request::Pause(b));
        }
        if faults.orbits > 0 && !queue.is_orbit {
            call(Request::NameOrbit(b));
        }
    }
}

/// Whether a dispatch may hold a lease.
pub(super) fn has_asked(task: &Task) -> bool {
    !matches!(task.phase, Phase::Claiming { unsure: false, .. })
}
