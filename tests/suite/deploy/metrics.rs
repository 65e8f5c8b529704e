//! The values of metrics: paused queues, denials by axis, previews, and the process.

use proto::v1;
use tests::eventually::eventually;
use tests::factory;
use tests::probes::{metrics_address, scrape};
use tests::rig::Rig;

const METRICS: (&str, &str) = ("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0");

/// Returns the value of a metric, by its name with labels.
fn value(text: &str, name: &str) -> Option<f64> {
    let mut samples = text.lines().filter_map(|line| line.rsplit_once(' '));
    let (_, value) = samples.find(|(found, _)| *found == name)?;
    value.parse().ok()
}

/// Waits until the metric has a value that `is_expected`.
async fn until(address: &str, name: &str, is_expected: impl Fn(f64) -> bool) {
    eventually(name, async || {
        let text = scrape(address).await;
        let found = value(&text, name);
        found
            .filter(|found| is_expected(*found))
            .map(drop)
            .ok_or(text)
    })
    .await;
}

async fn pause(rig: &Rig, blueprint_id: Option<&str>) {
    let request = v1::PauseQueueRequest {
        blueprint_id: blueprint_id.map(str::to_owned),
    };
    let paused = rig.client.intake.clone().pause_queue(request).await;
    paused.expect("PauseQueue");
}

#[tokio::test]
async fn the_oldest_issue_is_not_one_that_is_paused() {
    const OLDEST: &str = "draftsman_queue_oldest_seconds";
    const PAUSED: &str = "draftsman_queue_paused_blueprints";
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[METRICS]).await;
    let address = metrics_address(&rig.intake).await;
    for id in ["first", "second"] {
        rig.client.put(factory::small(id)).await;
    }
    rig.client.submit("first", "tag x").await;
    until(&address, OLDEST, |age| age > 0.0).await;
    pause(&rig, Some("first")).await;
    until(&address, PAUSED, |n| n == 1.0).await;
    until(&address, OLDEST, |age| age == 0.0).await;
    rig.client.submit("second", "tag x").await;
    until(&address, OLDEST, |age| age > 0.0).await;
    pause(&rig, None).await;
    until(&address, OLDEST, |age| age == 0.0).await;
    until(&address, "draftsman_queue_issues{place=\"pending\"}", |n| {
        n == 2.0
    })
    .await;
}

#[tokio::test]
async fn denials_previews_and_the_process_are_measured() {
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[METRICS]).await;
    rig.add_worker(&[METRICS]);
    let addresses = [
        metrics_address(&rig.intake).await,
        metrics_address(&rig.workers[0]).await,
    ];
    rig.client.put(factory::small("measured")).await;
    rig.client.run("measured", "nobody understands this").await;
    rig.until_registered(1).await;
    let request = v1::PreviewIssueRequest {
        blueprint_id: "measured".to_owned(),
        intent: "tag x".to_owned(),
    };
    let preview = rig.client.intake.clone().preview_issue(request).await;
    preview.expect("PreviewIssue");
    for (name, least) in [
        (
            "draftsman_worker_previews_total{outcome=\"would_apply\"}",
            1.0,
        ),
        ("draftsman_worker_preview_seconds_count", 1.0),
    ] {
        until(&addresses[1], name, |found| found >= least).await;
    }
    let text = scrape(&addresses[1]).await;
    assert!(
        text.contains("\ndraftsman_worker_denials_total{axis=\""),
        "{text}"
    );
    for address in &addresses {
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "draftsman_redis_up",
        ] {
            until(address, name, |found| found > 0.0).await;
        }
        let version = env!("CARGO_PKG_VERSION");
        let build = format!("draftsman_build_info{{version=\"{version}\"}}");
        until(address, &build, |found| found == 1.0).await;
    }
}
