//! The possible next steps.
//!
//! A script is one step; anything else may happen between two steps. Steps of *progress* eventually
//! happen, and a state without one must be a valid end. Steps of *failure* happen only as often as
//! the scenario allows.

use crate::model::Protocol;
use crate::model::calls::{
    background_calls, client_calls, has_asked, optional_calls, worker_calls,
};
use crate::model::requests::Request;
use crate::model::state::{
    BlueprintNo, IssueNo, IssueState, Lease, Phase, Place, State, Status, Worker, WorkerNo,
};
use crate::model::steps::after;

/// The fate of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is executed and answered.
    Answered,
    /// It is executed; the caller gets no answer.
    ReplyLost,
    /// The caller gets no answer and continues; the call is executed at any later time. Together
    /// with the caller's retry this also models a call that is executed twice.
    Late,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A call of Redis.
    Call(Request, Fate),
    /// A late call is executed.
    Arrives(Request),
    /// A lease expires.
    RunsOut(IssueNo),
    /// A proposal expires.
    FallsDue(IssueNo),
    /// A process is suspended.
    Freeze(WorkerNo),
    /// A suspended process resumes without noticing the interruption.
    Wake(WorkerNo),
    /// A process dies.
    Crash(WorkerNo),
    /// A dispatch ends without a call: it panicked, or no longer trusts its lease.
    GiveUp(WorkerNo, IssueNo),
    /// A worker is asked to shut down.
    Stop(WorkerNo),
    /// A worker without issues shuts down.
    SignOff(WorkerNo),
    /// A worker restarts under the same name. Real workers never do; the protocol does not depend
    /// on it.
    Restart(WorkerNo),
    /// A ready element is lost.
    LoseElement(BlueprintNo),
    /// A place is overwritten with a false value.
    LieAboutPlace(BlueprintNo, Place),
}

/// Whether any step of progress is possible. A call that is repeated forever and changes nothing
/// does not count.
pub(super) fn goes_on(model: &Protocol, state: &State) -> bool {
    let mut actions = Vec::new();
    going_on(model, state, &mut actions);
    (actions.into_iter()).any(|action| after(model, state, action) != *state)
}

/// Collects the steps of progress: those that happen if no further fault occurs.
pub(super) fn going_on(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    let mut call = |request| actions.push(Action::Call(request, Fate::Answered));
    client_calls(model, state, &mut call);
    for w in 0..state.workers.len() as WorkerNo {
        worker_calls(model, state, w, &mut call);
    }
    background_calls(model, state, &mut call);
    // Two copies of the same late call are one choice.
    let mut late = state.late.clone();
    late.dedup();
    actions.extend(late.into_iter().map(Action::Arrives));
    for i in 0..state.redis.issues.len() as IssueNo {
        if runs_out(state, i) == Some(Status::Dead) {
            actions.push(Action::RunsOut(i));
        }
    }
    for (w, worker) in state.workers.iter().enumerate() {
        let list = &state.redis.processing[w];
        let w = w as WorkerNo;
        match worker.status {
            Status::Paused => actions.push(Action::Wake(w)),
            Status::Stopping if worker.tasks.is_empty() && list.is_empty() => {
                actions.push(Action::SignOff(w));
            }
            Status::Dead | Status::Ended if state.faults.restarts > 0 => {
                actions.push(Action::Restart(w));
            }
            _ => {}
        }
    }
}

/// Collects the faults, and the actions of people.
pub(super) fn going_wrong(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    let faults = &state.faults;
    let mut call = |request| actions.push(Action::Call(request, Fate::Answered));
    optional_calls(model, state, &mut call);
    let mut sent = Vec::new();
    if faults.lost > 0 || faults.late > 0 {
        let mut call = |request| sent.push(request);
        client_calls(model, state, &mut call);
        optional_calls(model, state, &mut call);
        for w in 0..state.workers.len() as WorkerNo {
            worker_calls(model, state, w, &mut call);
        }
        background_calls(model, state, &mut call);
    }
    for request in sent {
        if faults.lost > 0 && is_repeated(&request) {
            actions.push(Action::Call(request, Fate::ReplyLost));
        }
        if faults.late > 0 && model.scenario.may_be_late(&request) {
            actions.push(Action::Call(request, Fate::Late));
        }
    }
    for i in 0..state.redis.issues.len() as IssueNo {
        if runs_out(state, i) == Some(Status::Paused) {
            actions.push(Action::RunsOut(i));
        }
        let is_in_review = state.redis.issues[i as usize].state == IssueState::InReview;
        if faults.expiries > 0 && is_in_review && !state.redis.due[i as usize] {
            actions.push(Action::FallsDue(i));
        }
    }
    for (at, worker) in state.workers.iter().enumerate() {
        let w = at as WorkerNo;
        let runs = |w: &Worker| matches!(w.status, Status::Up | Status::Paused);
        let others = state.workers.iter().enumerate();
        let is_spared =
            faults.restarts > 0 || others.into_iter().any(|(o, other)| o != at && runs(other));
        if faults.deaths > 0 && is_spared && (runs(worker) || worker.status == Status::Stopping) {
            actions.push(Action::Crash(w));
        }
        if faults.give_ups > 0 && matches!(worker.status, Status::Up | Status::Stopping) {
            let sent = worker.tasks.iter().filter(|t| has_asked(t));
            actions.extend(sent.map(|task| Action::GiveUp(w, task.issue)));
        }
        if worker.status != Status::Up {
            continue;
        }
        if faults.freezes > 0 && !worker.tasks.is_empty() {
            actions.push(Action::Freeze(w));
        }
        if faults.stops > 0 && is_spared {
            actions.push(Action::Stop(w));
        }
    }
    if faults.damages > 0 {
        for (b, queue) in state.redis.queues.iter().enumerate() {
            let b = b as BlueprintNo;
            if queue.place == Place::Ready {
                actions.push(Action::LoseElement(b));
            }
            for place in [
                Place::None,
                Place::Ready,
                Place::Leased,
                Place::Delayed,
                Place::Parked,
            ] {
                if place != queue.place {
                    actions.push(Action::LieAboutPlace(b, place));
                }
            }
        }
    }
}

/// Whether the caller waits for the answer of this call and repeats it.
fn is_repeated(request: &Request) -> bool {
    matches!(
        request,
        Request::Submit(_)
            | Request::Pop(_)
            | Request::Claim { .. }
            | Request::Settle { .. }
            | Request::Release { .. }
            | Request::Cancel { .. }
            | Request::Approve { .. }
            | Request::Decline(_)
    )
}

/// Whether a lease may expire. With `Dead`, no worker extends it; with `Paused`, its holder is
/// suspended. A running worker extends its lease, and stops by its own clock before the lease
/// expires in Redis.
fn runs_out(state: &State, issue: IssueNo) -> Option<Status> {
    if state.redis.leases[issue as usize] != Lease::Runs {
        return None;
    }
    let present = state.redis.issues[issue as usize].token;
    let holder = state.workers.iter().find(|worker| {
        worker.tasks.iter().any(|task| {
            matches!(
                task.phase,
                Phase::Working { token, .. } if task.issue == issue && Some(token) == present
            )
        })
    });
    match holder.map(|worker| worker.status) {
        None => Some(Status::Dead),
        Some(Status::Paused) => Some(Status::Paused),
        Some(_) => None,
    }
}
