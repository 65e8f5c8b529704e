//! What can happen next.
//!
//! A script is one step; between two steps anything else may happen. What *goes on* happens in
//! the end whatever else does, and a state in which nothing goes on must be a good end. What
//! *goes wrong* happens only as often as the scenario allows.

use crate::model::Protocol;
use crate::model::calls::{
    background_calls, client_calls, has_asked, optional_calls, worker_calls,
};
use crate::model::requests::Request;
use crate::model::state::{
    BlueprintNo, IssueNo, Lease, Phase, Place, State, Status, Worker, WorkerNo,
};
use crate::model::steps::after;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is carried out; its caller never hears of it.
    ReplyLost,
    /// Its caller hears nothing and goes on, and it is carried out at any time later. With the
    /// repetition of the call this is also the call that is carried out twice.
    Late,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Somebody calls Redis.
    Call(Request, Fate),
    /// A late call is carried out.
    Arrives(Request),
    /// A lease's time is over.
    RunsOut(IssueNo),
    /// A process is stopped in its tracks.
    Freeze(WorkerNo),
    /// It goes on, knowing nothing of it.
    Wake(WorkerNo),
    /// A process dies.
    Crash(WorkerNo),
    /// A dispatch ends without a word: a panic, or its lease is not trusted any more.
    GiveUp(WorkerNo, IssueNo),
    /// A worker is asked to end.
    Stop(WorkerNo),
    /// A worker that has nothing left ends.
    SignOff(WorkerNo),
    /// A worker starts again under the same name, which real ones never do: the protocol does not
    /// need it.
    Restart(WorkerNo),
    /// A ready element gets lost.
    LoseElement(BlueprintNo),
    /// A place is overwritten.
    LieAboutPlace(BlueprintNo, Place),
}

/// Whether anything goes on: a call that is repeated for ever and changes nothing does not.
pub(super) fn goes_on(model: &Protocol, state: &State) -> bool {
    let mut actions = Vec::new();
    going_on(model, state, &mut actions);
    (actions.into_iter()).any(|action| after(model, state, action) != *state)
}

/// What happens in the end, if nothing goes wrong any more.
pub(super) fn going_on(model: &Protocol, state: &State, actions: &mut Vec<Action>) {
    let mut call = |request| actions.push(Action::Call(request, Fate::Answered));
    client_calls(model, state, &mut call);
    for w in 0..state.workers.len() as WorkerNo {
        worker_calls(model, state, w, &mut call);
    }
    background_calls(model, state, &mut call);
    // The same call twice in the air is one choice.
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

/// What may go wrong, and what people may do.
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

/// Who waits for the answer of such a call, and repeats it.
fn is_repeated(request: &Request) -> bool {
    matches!(
        request,
        Request::Submit(_)
            | Request::Pop(_)
            | Request::Claim { .. }
            | Request::Settle { .. }
            | Request::Release { .. }
            | Request::Cancel { .. }
    )
}

/// Whether a lease may run out: `Dead` if nobody extends it, `Paused` if its holder is stopped in
/// its tracks. A worker that runs extends it, and stops by itself before Redis's clock is through.
fn runs_out(state: &State, issue: IssueNo) -> Option<Status> {
    if state.redis.leases[issue as usize] != Lease::Runs {
        return None;
    }
    let present = state.redis.issues[issue as usize].token;
    let holder = state.workers.iter().find(|worker| {
        worker.tasks.iter().any(|task| {
            matches!(task.phase, Phase::Working { token, .. } if task.issue == issue && Some(token) == present)
        })
    });
    match holder.map(|worker| worker.status) {
        None => Some(Status::Dead),
        Some(Status::Paused) => Some(Status::Paused),
        Some(_) => None,
    }
}
