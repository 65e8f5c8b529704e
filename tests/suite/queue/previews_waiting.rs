//! Previews that wait for a worker: how many, and for how long.

use std::time::Duration;

use shared::store::redis::keys::Keys;
use tests::eventually::eventually;
use tests::programs::Signal;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use super::previews::{
    preview, preview_within, reason, request, rig, scripts, waiting, with_scripts,
};

#[tokio::test]
async fn no_more_than_a_hundred_previews_wait() {
    let dir = scripts();
    let rig = rig(&[with_scripts(dir.path())]).await;
    // The worker is suspended, so that nothing is taken from the list.
    rig.workers[0].signal(Signal::Stop);
    // The first request goes to the pop in progress.
    let mut asked = Vec::new();
    let mut refusals = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..120 {
        let mut request = Request::new(request("tried", "loop"));
        request.set_timeout(Duration::from_secs(600));
        let (mut intake, refused) = (rig.client.intake.clone(), refusals.0.clone());
        asked.push(tokio::spawn(async move {
            if let Err(status) = intake.preview_issue(request).await {
                // The test may have ended.
                let _ = refused.send(status);
            }
        }));
    }
    let refused = refusals.1.recv().await.expect("some are refused");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(reason(&refused), "TOO_MANY_PREVIEWS");
    assert!(refused.get_details_retry_info().is_some());
    assert_eq!(waiting(&rig).await, 100);
    for task in asked {
        task.abort();
    }
    eventually("all are taken back", async || {
        let n = waiting(&rig).await;
        (n == 0).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
    rig.workers[0].signal(Signal::Continue);
    let told = preview(&rig, "tried", "tag").await.expect("PreviewIssue");
    assert!(told.would_apply, "there is room again: {told:?}");
}

#[tokio::test]
async fn what_a_caller_gave_up_is_taken_back_before_it_runs() {
    let dir = scripts();
    let rig = rig(&[with_scripts(dir.path())]).await;
    let long = Duration::from_secs(600);
    let mut endless = Vec::new();
    // More than a worker runs at once: the last one waits in the list.
    for _ in 0..3 {
        let mut request = Request::new(request("tried", "loop"));
        request.set_timeout(long);
        let mut intake = rig.client.intake.clone();
        endless.push(tokio::spawn(
            async move { intake.preview_issue(request).await },
        ));
    }
    eventually("one waits", async || {
        let n = waiting(&rig).await;
        (n == 1).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
    let late = preview_within(&rig, "tag x", Duration::from_millis(300)).await;
    assert!(
        matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{late}"
    );
    for task in endless {
        task.abort();
    }
    eventually("all are taken back", async || {
        let n = waiting(&rig).await;
        (n == 0).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
}

/// The worker is suspended while its blocking pop is answered, and resumes with a request for which
/// no caller waits.
#[tokio::test]
async fn a_request_that_has_expired_is_not_run() {
    let rig = rig(&[("DRAFTSMAN_LOG", "worker=debug")]).await;
    let worker = &rig.workers[0];
    worker.signal(Signal::Stop);
    let late = preview_within(&rig, "tag x", Duration::from_secs(1)).await;
    assert!(
        matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{late}"
    );
    eventually("it is not waiting any more", async || {
        let n = waiting(&rig).await;
        (n == 0).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
    // The request expires at most one second after it was made, by the clock of Redis.
    let mut connection = rig.redis.connection().await;
    let mut seconds = async || -> u64 {
        let time: (u64, u64) = redis::cmd("TIME")
            .query_async(&mut connection)
            .await
            .expect("TIME");
        time.0
    };
    let given_up = seconds().await;
    eventually("it has expired", async || {
        let now = seconds().await;
        (now > given_up + 1).then_some(()).ok_or(now.to_string())
    })
    .await;
    worker.signal(Signal::Continue);
    preview(&rig, "tried", "tag y").await.expect("PreviewIssue");
    let log = worker.stderr();
    assert_eq!(log.matches("would_apply").count(), 1, "{log}");
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_says_so_to_who_waits() {
    let dir = scripts();
    let no_grace = ("DRAFTSMAN_GRACE_SECS", "0");
    let mut rig = rig(&[with_scripts(dir.path()), no_grace]).await;
    let mut intake = rig.client.intake.clone();
    let endless = tokio::spawn(async move { intake.preview_issue(request("tried", "loop")).await });
    let (list, mut monitor) = (Keys::of_shard(0).previews(), rig.redis.connection().await);
    eventually("the worker has taken it", async || {
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut monitor)
            .await
            .expect("INFO");
        let pushed = stats.contains("cmdstat_lpush:calls=1,");
        let waiting: u64 = redis::cmd("LLEN")
            .arg(&list)
            .query_async(&mut monitor)
            .await
            .expect("LLEN");
        (pushed && waiting == 0).then_some(()).ok_or(stats)
    })
    .await;
    let worker = rig.workers.last_mut().expect("a worker");
    assert_eq!(worker.terminate().await.code(), Some(0));
    let fault = endless
        .await
        .expect("no panic")
        .expect_err("it was stopped");
    assert_eq!(fault.code(), Code::Unavailable, "{fault}");
    assert_eq!(reason(&fault), "PREVIEW_INTERRUPTED");
    assert!(fault.message().contains("is shutting down"), "{fault}");
}
