//! Runs each query of the dashboard against a Prometheus that scrapes a loaded system.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::eventually::eventually;
use tests::loaded_rig::LoadedRig;
use tests::programs::workspace_dir;
use tests::prometheus::Prometheus;

/// Variable of the data source: an imported dashboard asks which one to use.
const DATA_SOURCE: &str = "${datasource}";

fn dashboard() -> Value {
    let path = workspace_dir().join("deploy/observability/grafana/dashboards/draftsman.json");
    let text = std::fs::read_to_string(path).expect("the dashboard");
    serde_json::from_str(&text).expect("the dashboard is JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The queries of all panels, with an interval for a scrape every second.
fn queries(dashboard: &Value) -> BTreeSet<String> {
    let targets = list(&dashboard["panels"])
        .iter()
        .flat_map(|panel| list(&panel["targets"]));
    let queries = targets.map(|target| target["expr"].as_str().expect("a query"));
    queries
        .map(|query| query.replace("$__rate_interval", "30s"))
        .collect()
}

#[test]
fn the_dashboard_asks_for_its_data_source() {
    let dashboard = dashboard();
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!(
        (&variable["name"], &variable["type"], &variable["query"]),
        (
            &"datasource".into(),
            &"datasource".into(),
            &"prometheus".into()
        )
    );
    let panels = list(&dashboard["panels"]);
    assert!(panels.len() > 20);
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64()), "{title}");
        for one in list(&panel["targets"]).iter().chain([panel]) {
            assert_eq!(one["datasource"]["uid"], DATA_SOURCE, "{title}");
        }
    }
}

#[tokio::test]
async fn no_panel_is_empty_for_a_loaded_system() {
    let loaded = LoadedRig::start().await;
    let [intake, worker] = loaded.metrics_addresses().await;
    let targets = [("intake", intake.as_str()), ("worker", worker.as_str())];
    let Some(prometheus) = Prometheus::start(&targets).await else {
        return;
    };
    let mut empty = queries(&dashboard());
    assert!(empty.len() > 20);
    eventually("every query has a result", async || {
        loaded.run_issue().await;
        let mut still_empty = BTreeSet::new();
        for query in std::mem::take(&mut empty) {
            let samples = prometheus.ask(&query).await?;
            let is_number = |sample: &Value| sample["value"][1] != "NaN";
            if !samples.iter().any(is_number) {
                still_empty.insert(query);
            }
        }
        empty = still_empty;
        match empty.is_empty() {
            true => Ok(()),
            false => Err(format!("{empty:#?}")),
        }
    })
    .await;
}
