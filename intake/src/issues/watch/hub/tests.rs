use std::time::Duration;

use shared::domain::issue::IssueState;
use shared::domain::progress::StepStatus;

use shared::domain::waiting::WaitingReason;

use super::*;

const WITH_STEPS: Include = Include {
    steps: true,
    waiting: false,
};
const WITH_WAITING: Include = Include {
    steps: false,
    waiting: true,
};

fn id(text: &str) -> IssueId {
    IssueId::parse(text).unwrap()
}

fn event(issue_id: &str, revision: u64) -> IssueEvent {
    IssueEvent {
        issue_id: id(issue_id),
        revision,
        json: String::new(),
    }
}

fn issue(issue_id: &str, revision: u64) -> Issue {
    Issue {
        issue_id: id(issue_id),
        blueprint_id: BlueprintId::parse("b").unwrap(),
        intent: String::new(),
        state: IssueState::Pending,
        reason: String::new(),
        cause: None,
        new_version: None,
        attempt: 0,
        worker_id: String::new(),
        retry_of: None,
        submitted_by: None,
        decided_by: None,
        joined_at_ms: 0,
        submitted_at_ms: 0,
        updated_at_ms: 0,
        revision,
    }
}

fn seen(revision: u64, is_terminal: bool) -> Sight {
    Sight::Seen(IssueRevision {
        revision,
        is_terminal,
    })
}

/// Returns whether the watcher wakes at once.
async fn is_woken(registration: &mut Registration) -> bool {
    tokio::select! {
        biased;
        _ = registration.woken() => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test]
async fn only_newer_revisions_of_the_own_issue_wake() {
    let hub = Hub::new();
    let mut watcher = hub.register(&id("a"), Include::default());
    watcher.about_to_read();
    watcher.has_read(&issue("a", 1), None);
    hub.announce(&event("b", 9));
    assert!(!is_woken(&mut watcher).await);
    hub.announce(&event("a", 2));
    assert!(is_woken(&mut watcher).await);
    watcher.about_to_read();
    watcher.has_read(&issue("a", 2), None);
    hub.announce(&event("a", 2));
    hub.announce(&event("a", 1));
    assert!(!is_woken(&mut watcher).await);
}

#[tokio::test]
async fn a_look_wakes_for_what_differs_and_for_nothing_else() {
    let hub = Hub::new();
    let mut watcher = hub.register(&id("a"), Include::default());
    watcher.about_to_read();
    watcher.has_read(&issue("a", 3), None);
    hub.see(&id("a"), |_| seen(3, false));
    assert!(!is_woken(&mut watcher).await, "that is what it read");
    // Redis lost its newest writes, and the issue was decided again.
    for sight in [seen(2, false), seen(3, true), Sight::Gone] {
        hub.see(&id("a"), |_| sight);
        assert!(is_woken(&mut watcher).await, "{sight:?}");
        watcher.about_to_read();
    }
}

#[tokio::test]
async fn what_one_watcher_reads_wakes_another_that_has_not() {
    let hub = Hub::new();
    let (mut early, mut late) = (
        hub.register(&id("a"), Include::default()),
        hub.register(&id("a"), Include::default()),
    );
    for watcher in [&mut early, &mut late] {
        watcher.about_to_read();
        watcher.has_read(&issue("a", 1), None);
    }
    assert!(!is_woken(&mut early).await && !is_woken(&mut late).await);
    early.has_read(&issue("a", 2), None);
    assert!(!is_woken(&mut early).await);
    assert!(is_woken(&mut late).await);
}

#[tokio::test]
async fn a_place_is_kept_as_long_as_somebody_watches() {
    let hub = Hub::new();
    let (first, mut second, other) = (
        hub.register(&id("a"), Include::default()),
        hub.register(&id("a"), Include::default()),
        hub.register(&id("b"), Include::default()),
    );
    assert_eq!(hub.demand().count(), 2);
    drop(first);
    assert_eq!(hub.demand().count(), 2);
    hub.announce(&event("a", 1));
    assert!(is_woken(&mut second).await);
    drop(second);
    drop(other);
    assert_eq!(hub.demand().count(), 0);
    assert!(hub.issues().is_empty());
}

#[tokio::test]
async fn a_slow_watcher_misses_the_oldest_steps_and_others_get_none() {
    let hub = Hub::new();
    let mut plain = hub.register(&id("a"), Include::default());
    let mut slow = hub.register(&id("a"), WITH_STEPS);
    let step = |n: usize| StepProgress {
        step: n.to_string(),
        axis: String::new(),
        status: StepStatus::Started,
        duration: Duration::ZERO,
        attempt: 1,
    };
    for n in 0..10 * STEPS_KEPT {
        hub.tell(IssueSteps {
            issue_id: id("a"),
            steps: vec![step(n)],
        });
    }
    hub.tell(IssueSteps {
        issue_id: id("b"),
        steps: vec![step(0)],
    });
    assert!(plain.steps_so_far().is_empty());
    let newest: Vec<StepProgress> = (9 * STEPS_KEPT..10 * STEPS_KEPT).map(step).collect();
    assert_eq!(Vec::from(slow.steps_so_far()), newest);
    hub.tell(IssueSteps {
        issue_id: id("a"),
        steps: vec![step(7)],
    });
    assert!(matches!(slow.woken().await, Wake::Step(told) if told == step(7)));
}

#[tokio::test]
async fn only_a_watcher_that_requested_it_is_told_what_the_issue_waits_for() {
    let hub = Hub::new();
    let mut plain = hub.register(&id("a"), Include::default());
    let mut asking = hub.register(&id("a"), WITH_WAITING);
    let mut late = hub.register(&id("a"), WITH_WAITING);
    let behind = |issues_ahead| Waiting {
        reason: WaitingReason::Worker,
        issues_ahead,
        queues_ahead: 0,
    };
    for watcher in [&mut plain, &mut asking, &mut late] {
        watcher.about_to_read();
        watcher.has_read(&issue("a", 1), Some(&behind(2)));
    }
    assert!(!is_woken(&mut asking).await, "it has read this itself");
    late.has_read(&issue("a", 1), Some(&behind(1)));
    assert!(matches!(asking.woken().await, Wake::Waiting(now) if now == behind(1)));
    assert!(!is_woken(&mut asking).await && !is_woken(&mut plain).await);
    assert!(!is_woken(&mut late).await);
    plain.has_read(&issue("a", 1), None);
    late.has_read(&issue("a", 1), Some(&behind(1)));
    assert!(!is_woken(&mut asking).await, "nothing has changed");
}
