//! CancelIssue stops the running work.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use tests::eventually::eventually;
use tests::factory;
use tests::rig::Rig;

/// A spawner that never ends if the intent says so, and changes the description otherwise.
const SPAWNER: &str = r"
local intent = _CTX.issue.intent
if intent == 'loop' then while true do end end
local op = { op = 'replace', path = '/metadata/description', value = intent }
return { ops = host.array({ op }), bump = 'patch', rationale = 'described' }
";

/// The only slot of the only worker is in an endless Lua loop. Only the end of the loop frees the
/// slot.
#[tokio::test]
async fn a_cancelled_lua_loop_ends_and_its_slot_is_free_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("patch_spawner.lua"), SPAWNER).expect("a script file");
    let mut rig = Rig::without_worker().await;
    for id in ["endless", "next"] {
        rig.client.put(factory::small(id)).await;
    }
    rig.add_worker(&[
        (
            "DRAFTSMAN_LUA_DIR",
            dir.path().to_str().expect("a plain path"),
        ),
        ("DRAFTSMAN_CONCURRENCY", "1"),
    ]);
    let endless = rig.client.submit("endless", "loop").await.issue_id;
    rig.until_in_flight(1).await;
    let next = rig.client.submit("next", "changed").await.issue_id;
    assert_eq!(rig.client.issue(&next).await.state(), IssueState::Pending);

    let request = v1::CancelIssueRequest {
        issue_id: endless.clone(),
    };
    let answer = rig.client.intake.clone().cancel_issue(request).await;
    let cancelled = answer
        .expect("CancelIssue")
        .into_inner()
        .issue
        .expect("an issue");
    assert_eq!(
        (cancelled.state(), cancelled.cause(), cancelled.attempt),
        (IssueState::Rejected, RejectionCause::Cancelled, 1)
    );
    rig.workers[0]
        .until_event("run.stopped", &[("why", "cancelled")])
        .await;
    let applied = rig.client.decided(&next).await;
    assert_eq!(applied.state(), IssueState::Applied, "{applied:?}");
    assert_eq!(applied.worker_id, cancelled.worker_id);
    assert_eq!(rig.client.issue(&endless).await, cancelled);
    eventually("the worker has nothing left", async || {
        let stats = rig.client.stats().await;
        let idle = stats.in_flight == 0 && stats.workers.iter().all(|w| w.in_flight == 0);
        idle.then_some(()).ok_or_else(|| format!("{stats:?}"))
    })
    .await;
}
