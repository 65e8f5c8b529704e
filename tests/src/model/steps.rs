//! The effects of a step on Redis and on the caller.

use crate::model::Protocol;
use crate::model::actions::{Action, Fate};
use crate::model::mistakes::Mistake;
use crate::model::requests::{HandOver, Held, Release, Reply, Request, Verdict};
use crate::model::reviews;
use crate::model::rules::Rule;
use crate::model::scripts::Scripts;
use crate::model::state::{Call, Caller, IssueNo, Lease, Phase, State, Status, Task, WorkerNo};

/// The state after a step.
pub(super) fn after(model: &Protocol, before: &State, action: Action) -> State {
    let (state, _) = step(model, before, action);
    state
}

/// The state after a step, and the reply of the script that it executed.
pub(super) fn step(model: &Protocol, before: &State, action: Action) -> (State, Option<Reply>) {
    let mut state = before.clone();
    let mut replied = None;
    let status = |state: &mut State, w: WorkerNo, status| state.workers[w as usize].status = status;
    match action {
        Action::Call(request, fate) => {
            spend(&mut state, &request);
            reviews::spend(&mut state, &request);
            match fate {
                Fate::Answered => {
                    let reply = run(model, &mut state, request);
                    replied = Some(reply.clone());
                    reviews::deliver(&mut state, &request, &reply);
                    deliver(model, &mut state, request, reply);
                }
                Fate::ReplyLost => {
                    state.faults.lost -= 1;
                    replied = Some(run(model, &mut state, request));
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
            replied = Some(run(model, &mut state, request));
        }
        Action::RunsOut(issue) => state.redis.leases[issue as usize] = Lease::RanOut,
        Action::FallsDue(issue) => {
            state.faults.expiries -= 1;
            state.redis.due[issue as usize] = true;
        }
        Action::Freeze(w) => {
            state.faults.freezes -= 1;
            status(&mut state, w, Status::Paused);
        }
        Action::Wake(w) => status(&mut state, w, Status::Up),
        Action::Crash(w) => {
            state.faults.deaths -= 1;
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
    (state, replied)
}

/// Decrements the remaining number of a call that only people or faults cause.
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
        Request::Release {
            held,
            why: Release::Busy,
        } if is_first(state, held) => {
            state.faults.busy -= 1;
        }
        Request::Put(_) => state.faults.puts -= 1,
        Request::Pause(_) => state.faults.holds -= 1,
        Request::NameOrbit(_) => state.faults.orbits -= 1,
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
    if worker.is_open(issue) {
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

/// Starts an issue that a settle handed over, unless it already has a slot, in which case the reply
/// is old.
fn take(state: &mut State, w: WorkerNo, next: HandOver) {
    let worker = &mut state.workers[w as usize];
    if worker.is_open(next.issue) {
        return;
    }
    worker.tasks.push(Task {
        issue: next.issue,
        nonce: next.nonce,
        phase: Phase::Working {
            token: next.token,
            grant: next.grant,
            seq: next.seq,
            base: next.seq,
            alone: false,
            unsure: None,
        },
    });
    worker.tasks.sort_by_key(|t| t.issue);
}

fn close(state: &mut State, w: WorkerNo, issue: IssueNo) {
    state.workers[w as usize].tasks.retain(|t| t.issue != issue);
}

/// Updates the caller after an answer.
fn deliver(model: &Protocol, state: &mut State, request: Request, reply: Reply) {
    match (request, reply) {
        (Request::Submit(issue), Reply::OrbitNeedsAdmin) => {
            state.submitters[issue as usize] = Caller::Refused;
        }
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
            let next = match reply {
                Reply::Settled { next, .. } => next,
                _ => None,
            };
            let has = state.truth.decided_by[held.issue as usize] == Some(held.grant);
            if is_told != has {
                state.truth.broken.add(Rule::Told);
            }
            close(state, held.worker, held.issue);
            if let Some(next) = next {
                take(state, held.worker, next);
            }
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
                // An unanswered call is repeated, because it may have handed over another issue.
                let is_unsure = task(state, w, issue).is_some_and(|task| {
                    matches!(
                        task.phase,
                        Phase::Working {
                            unsure: Some(_),
                            ..
                        }
                    )
                });
                if !is_unsure {
                    close(state, w, issue);
                }
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

/// Updates the caller of an unanswered call.
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
        Request::Settle {
            held,
            verdict,
            next,
            ..
        } => {
            let with_next = next.is_some();
            unsure_of(
                held,
                match verdict {
                    Verdict::Applied => Call::Apply { with_next },
                    Verdict::Review => Call::Propose { with_next },
                    Verdict::Denied => Call::Deny { with_next },
                },
            );
        }
        Request::Release { held, why } => unsure_of(
            held,
            match why {
                Release::Shutdown => Call::HandBack,
                Release::Fault => Call::PutOff,
                Release::Busy => Call::Wait,
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
