//! Checks the alert rules: each has a unit test whose series are the outage that it reports.

use std::collections::BTreeSet;

use serde_yaml::Value;
use tests::eventually::eventually;
use tests::probes::{metrics_address, scrape};
use tests::programs::workspace_dir;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tests::tools::{checked, installed};

fn read(file: &str) -> Value {
    let path = workspace_dir().join("deploy/observability").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_sequence().into_iter().flatten()
}

#[tokio::test]
async fn every_alert_fires_in_its_outage() {
    let rules = read("alerts.yml");
    let rules = list(&rules, "groups").flat_map(|group| list(group, "rules"));
    let alerts: BTreeSet<String> = rules
        .map(|rule| rule["alert"].as_str().expect("a name").to_owned())
        .collect();
    assert!(alerts.len() > 10);
    let tests = read("alerts.test.yml");
    let cases = list(&tests, "tests").flat_map(|test| list(test, "alert_rule_test"));
    let fired: BTreeSet<String> = cases
        .filter(|case| list(case, "exp_alerts").next().is_some())
        .map(|case| case["alertname"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(fired, alerts);

    let Some(promtool) = installed("promtool") else {
        return;
    };
    let path = workspace_dir().join("deploy/observability/alerts.test.yml");
    let path = path.to_str().expect("a plain path");
    checked(&promtool, &["test", "rules", path]).await;
}

/// Without Redis `draftsman_redis_up` is 0, and the queue's last values are not exported.
#[tokio::test]
async fn an_outage_of_redis_is_visible_in_the_metrics() {
    let metrics = ("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0");
    let lease = ("DRAFTSMAN_LEASE_SECS", "2");
    let redis = RedisServer::start(Aof::Always);
    let mut rig = Rig::with_redis_and(redis, &[metrics]).await;
    rig.add_worker(&[metrics, lease]);
    let addresses = [
        metrics_address(&rig.intake).await,
        metrics_address(&rig.workers[0]).await,
    ];
    let until = async |is_up: bool| {
        let line = format!("draftsman_redis_up {}", u8::from(is_up));
        eventually("both programs report whether Redis is up", async || {
            let mut texts = Vec::new();
            for address in &addresses {
                texts.push(scrape(address).await);
            }
            let are_told = texts
                .iter()
                .all(|text| text.lines().any(|found| found == line));
            let has_queue = texts[0].contains("\ndraftsman_queue_issues{");
            let memory = texts[0].contains("\ndraftsman_redis_memory_bytes{");
            let as_expected = are_told && has_queue == is_up && memory == is_up;
            as_expected.then_some(()).ok_or_else(|| texts.join("\n"))
        })
        .await;
    };
    until(true).await;
    rig.redis.stop();
    until(false).await;
    rig.redis.start_again();
    until(true).await;
}
