//! What can happen next, and what it does.
//!
//! A script is one step; between two steps anything else may happen. What *goes on* happens in
//! the end whatever else does, and a state in which nothing goes on must be a good end. What
//! *goes wrong* happens only as often as the scenario allows.

use super::Protocol;
use super::mistakes::Mistake;
use super::requests::{Held, Release, Reply, Request, Verdict};
use super::rules::{Rule, place_is_true};
use super::scripts::Scripts;
use super::state::{
    BlueprintNo, Call, Caller, IssueNo, IssueState, Lease, Phase, Place, State, Status, Task,
    WorkerNo,
};

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
    /// A worker starts again under the same name, which real ones never do: the protocol does not need it.
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
        let runs = |w: &super::state::Worker| matches!(w.status, Status::Up | Status::Paused);
        let others = state.workers.iter().enumerate();
        let is_spared =
            faults.restarts > 0 || others.into_iter().any(|(o, other)| o != at && runs(other));
        if faults.crashes > 0 && is_spared && (runs(worker) || worker.status == Status::Stopping) {
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

fn has_asked(task: &Task) -> bool {
    !matches!(task.phase, Phase::Claiming { unsure: false, .. })
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

fn client_calls(model: &Protocol, state: &State, call: &mut impl FnMut(Request)) {
    for i in 0..state.redis.issues.len() as IssueNo {
        // Submitters of one Blueprint come one after the other; numbers are the order of acceptance.
        let older = (0..i)
            .filter(|o| model.scenario.issues[*o as usize] == model.scenario.issues[i as usize]);
        let is_next = older
            .into_iter()
            .all(|o| state.redis.issues[o as usize].state != IssueState::Unknown);
        if is_next && state.submitters[i as usize] != Caller::Answered {
            call(Request::Submit(i));
        }
        if state.cancellers[i as usize] == Caller::Unsure {
            call(cancel(state, i));
        }
    }
}

fn cancel(state: &State, issue: IssueNo) -> Request {
    let holder = state.redis.issues[issue as usize].worker;
    Request::Cancel { issue, holder }
}

fn worker_calls(model: &Protocol, state: &State, w: WorkerNo, call: &mut impl FnMut(Request)) {
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
                // Who runs alone waits until nothing runs, and nothing begins beside it.
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
                let end = unsure.unwrap_or(Call::Apply);
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
    let is_found = |e: &IssueNo| redis.leases[*e as usize] == Lease::None && !is_open(worker, *e);
    let finds = worker.status == Status::Up
        && free > 0
        && !model.makes(Mistake::NoUnleased)
        && redis.processing[w as usize].iter().any(is_found);
    if has_news || finds {
        call(Request::Beat(w));
    }
}

fn is_open(worker: &super::state::Worker, issue: IssueNo) -> bool {
    worker.tasks.iter().any(|task| task.issue == issue)
}

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
    let settle = |verdict| Request::Settle {
        held,
        verdict,
        seq,
        base,
    };
    let release = |why| Request::Release { held, why };
    match end {
        Call::Apply => settle(Verdict::Applied),
        Call::Deny => settle(Verdict::Denied),
        Call::PutOff => release(Release::Fault),
        Call::HandBack => release(Release::Shutdown),
    }
}

fn background_calls(model: &Protocol, state: &State, call: &mut impl FnMut(Request)) {
    let redis = &state.redis;
    let is_there = |w: &super::state::Worker| matches!(w.status, Status::Up | Status::Stopping);
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

/// Calls that nothing waits for.
fn optional_calls(model: &Protocol, state: &State, call: &mut impl FnMut(Request)) {
    let (redis, faults) = (&state.redis, &state.faults);
    for i in 0..redis.issues.len() as IssueNo {
        let issue = &redis.issues[i as usize];
        let is_asked = state.cancellers[i as usize] != Caller::Idle;
        if faults.cancels > 0 && !is_asked && issue.state != IssueState::Unknown {
            call(cancel(state, i));
        }
    }
    for (w, worker) in state.workers.iter().enumerate() {
        let w = w as WorkerNo;
        if worker.status == Status::Paused {
            // A reaper takes a silent worker for a dead one.
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
                call(end_of(w, task, Call::Deny));
            }
            let retries = redis.issues[task.issue as usize].retries;
            if faults.passing > 0 && retries < model.scenario.max_retries {
                call(end_of(w, task, Call::PutOff));
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
    }
}

/// The state after a step.
pub(super) fn after(model: &Protocol, before: &State, action: Action) -> State {
    let mut state = before.clone();
    let status = |state: &mut State, w: WorkerNo, status| state.workers[w as usize].status = status;
    match action {
        Action::Call(request, fate) => {
            spend(&mut state, &request);
            match fate {
                Fate::Answered => {
                    let reply = run(model, &mut state, request);
                    deliver(model, &mut state, request, reply);
                }
                Fate::ReplyLost => {
                    state.faults.lost -= 1;
                    run(model, &mut state, request);
                    leave_unsure(&mut state, request);
                }
                Fate::Late => {
                    state.faults.late -= 1;
                    state.late.push(request);
                    state.late.sort_unstable();
                    leave_unsure(&mut state, request);
                }
            }
        }
        Action::Arrives(request) => {
            let at = state.late.iter().position(|late| *late == request);
            state.late.remove(at.expect("only what is late arrives"));
            run(model, &mut state, request);
        }
        Action::RunsOut(issue) => state.redis.leases[issue as usize] = Lease::RanOut,
        Action::Freeze(w) => {
            state.faults.freezes -= 1;
            status(&mut state, w, Status::Paused);
        }
        Action::Wake(w) => status(&mut state, w, Status::Up),
        Action::Crash(w) => {
            state.faults.crashes -= 1;
            status(&mut state, w, Status::Dead);
            state.workers[w as usize].tasks.clear();
        }
        Action::GiveUp(w, issue) => {
            state.faults.give_ups -= 1;
            close(&mut state, w, issue);
        }
        Action::Stop(w) => {
            state.faults.stops -= 1;
            status(&mut state, w, Status::Stopping);
        }
        Action::SignOff(w) => {
            status(&mut state, w, Status::Ended);
            if model.makes(Mistake::SignOffForgets) {
                state.redis.registered[w as usize] = false;
            }
        }
        Action::Restart(w) => {
            state.faults.restarts -= 1;
            status(&mut state, w, Status::Up);
            state.redis.registered[w as usize] = true;
        }
        Action::LoseElement(b) => {
            state.faults.damages -= 1;
            state.truth.is_damaged = true;
            let head = state.redis.queues[b as usize].backlog.first().copied();
            state.redis.pending.retain(|e| Some(*e) != head);
            for list in &mut state.redis.processing {
                list.retain(|e| Some(*e) != head);
            }
        }
        Action::LieAboutPlace(b, place) => {
            state.faults.damages -= 1;
            state.truth.is_damaged = true;
            state.redis.queues[b as usize].place = place;
        }
    }
    state
}

/// A call that only people or bad luck make is one less that they will make.
fn spend(state: &mut State, request: &Request) {
    let is_first = |state: &State, held: &Held| {
        let tasks = &state.workers[held.worker as usize].tasks;
        let mut of = tasks.iter().filter(|t| t.issue == held.issue);
        of.any(|t| matches!(t.phase, Phase::Working { unsure: None, .. }))
    };
    match request {
        Request::Cancel { issue, .. } if state.cancellers[*issue as usize] == Caller::Idle => {
            state.faults.cancels -= 1;
        }
        Request::Settle {
            held,
            verdict: Verdict::Denied,
            ..
        } if is_first(state, held) => {
            state.faults.denials -= 1;
        }
        Request::Release {
            held,
            why: Release::Fault,
        } if is_first(state, held) => {
            state.faults.passing -= 1;
        }
        Request::Put(_) => state.faults.puts -= 1,
        Request::Pause(_) => state.faults.holds -= 1,
        _ => {}
    }
}

fn run(model: &Protocol, state: &mut State, request: Request) -> Reply {
    let reply = Scripts {
        redis: &mut state.redis,
        truth: &mut state.truth,
        workers: &state.workers,
        scenario: &model.scenario,
        mistake: model.mistake,
    }
    .run(request);
    model.note(request.verb(), reply.outcome());
    reply
}

fn task(state: &mut State, w: WorkerNo, issue: IssueNo) -> Option<&mut Task> {
    state.workers[w as usize]
        .tasks
        .iter_mut()
        .find(|t| t.issue == issue)
}

fn open(state: &mut State, w: WorkerNo, issue: IssueNo) {
    let worker = &mut state.workers[w as usize];
    if is_open(worker, issue) {
        return;
    }
    worker.tasks.push(Task {
        issue,
        nonce: state.nonce,
        phase: Phase::Claiming {
            promise: false,
            unsure: false,
        },
    });
    worker.tasks.sort_by_key(|t| t.issue);
    state.nonce += 1;
}

fn close(state: &mut State, w: WorkerNo, issue: IssueNo) {
    state.workers[w as usize].tasks.retain(|t| t.issue != issue);
}

/// What the caller makes of an answer.
fn deliver(model: &Protocol, state: &mut State, request: Request, reply: Reply) {
    match (request, reply) {
        (Request::Submit(issue), _) => state.submitters[issue as usize] = Caller::Answered,
        (Request::Cancel { issue, .. }, Reply::Moved) => {
            state.cancellers[issue as usize] = Caller::Unsure;
        }
        (Request::Cancel { issue, .. }, _) => state.cancellers[issue as usize] = Caller::Answered,
        (Request::Pop(w), Reply::Popped(issue)) => open(state, w, issue),
        (
            Request::Claim {
                worker,
                issue,
                promise,
                ..
            },
            reply,
        ) => {
            let phase = match reply {
                Reply::Claimed {
                    token, grant, seq, ..
                } => Phase::Working {
                    token,
                    grant,
                    seq,
                    base: seq,
                    alone: promise,
                    unsure: None,
                },
                Reply::Alone => Phase::Claiming {
                    promise: true,
                    unsure: false,
                },
                _ => return close(state, worker, issue),
            };
            if let Some(task) = task(state, worker, issue) {
                task.phase = phase;
            }
        }
        (Request::Settle { held, .. }, Reply::MovedHead(head)) => {
            let (reruns, looks) = (
                !model.makes(Mistake::NoRerun),
                !model.makes(Mistake::OldHeadAgain),
            );
            if let Some(Task {
                phase: Phase::Working {
                    seq, base, unsure, ..
                },
                ..
            }) = task(state, held.worker, held.issue)
            {
                *unsure = None;
                if looks {
                    *seq = head;
                }
                if reruns {
                    *base = head;
                }
            }
        }
        (Request::Settle { held, .. }, reply) => {
            let is_told = matches!(reply, Reply::Settled { .. });
            let has = state.truth.decided_by[held.issue as usize] == Some(held.grant);
            if is_told != has {
                state.truth.broken.add(Rule::Told);
            }
            close(state, held.worker, held.issue);
        }
        (Request::Release { held, .. }, _) => close(state, held.worker, held.issue),
        (
            Request::Beat(w),
            Reply::Beaten {
                lost,
                cancelled,
                unleased,
                ..
            },
        ) => {
            for issue in lost.into_iter().chain(cancelled) {
                close(state, w, issue);
            }
            for issue in unleased {
                let worker = &state.workers[w as usize];
                let has_slot = worker.tasks.len() < model.scenario.slots;
                if worker.status == Status::Up && has_slot && !model.makes(Mistake::NoUnleased) {
                    open(state, w, issue);
                }
            }
        }
        _ => {}
    }
}

/// What the caller makes of silence.
fn leave_unsure(state: &mut State, request: Request) {
    let mut unsure_of = |held: Held, call| {
        if let Some(Task {
            phase: Phase::Working { unsure, .. },
            ..
        }) = task(state, held.worker, held.issue)
        {
            *unsure = Some(call);
        }
    };
    match request {
        Request::Settle { held, verdict, .. } => unsure_of(
            held,
            match verdict {
                Verdict::Applied => Call::Apply,
                Verdict::Denied => Call::Deny,
            },
        ),
        Request::Release { held, why } => unsure_of(
            held,
            match why {
                Release::Shutdown => Call::HandBack,
                Release::Fault => Call::PutOff,
            },
        ),
        Request::Claim { worker, issue, .. } => {
            if let Some(Task {
                phase: Phase::Claiming { unsure, .. },
                ..
            }) = task(state, worker, issue)
            {
                *unsure = true;
            }
        }
        Request::Submit(issue) => state.submitters[issue as usize] = Caller::Unsure,
        Request::Cancel { issue, .. } => state.cancellers[issue as usize] = Caller::Unsure,
        _ => {}
    }
}
