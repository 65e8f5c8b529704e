//! The telemetry of the programs: metrics for Prometheus, traces over OTLP, log lines as JSON.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use proto::v1;
use proto::v1::IssueState;
use serde_json::Value;
use shared::store::redis::keys::Keys;
use tests::eventually::eventually;
use tests::factory;
use tests::probes::{metrics_address, scrape};
use tests::programs::Process;
use tests::rig::Rig;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const METRICS: (&str, &str) = ("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0");

/// Waits until the metrics contain each of these lines.
async fn until_scraped(address: &str, lines: &[&str]) -> String {
    eventually("the metrics are as they should be", async || {
        let text = scrape(address).await;
        match lines
            .iter()
            .find(|line| !text.lines().any(|found| found == **line))
        {
            None => Ok(text),
            Some(line) => Err(format!("{line} is not in\n{text}")),
        }
    })
    .await
}

#[tokio::test]
async fn both_programs_count_what_they_do() {
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[METRICS]).await;
    let of_intake = metrics_address(&rig.intake).await;
    rig.client.put(factory::small("counted")).await;
    rig.client.put(factory::small("called-off")).await;
    let first = rig.client.submit("counted", "tag x").await;
    rig.client
        .submit("counted", "nobody understands this")
        .await;
    let cancelled = rig.client.submit("called-off", "tag x").await;
    let request = v1::CancelIssueRequest {
        issue_id: cancelled.issue_id,
    };
    rig.client
        .intake
        .clone()
        .cancel_issue(request)
        .await
        .expect("CancelIssue");
    until_scraped(
        &of_intake,
        &[
            "draftsman_intake_ready 1",
            "draftsman_intake_calls_total{rpc=\"SubmitIssue\",code=\"Ok\"} 3",
            "draftsman_queue_issues{place=\"pending\"} 2",
            "draftsman_queue_issues{place=\"ready\"} 1",
            "draftsman_queue_workers 0",
            "draftsman_queue_submitted_total 3",
            "draftsman_queue_decided_total{outcome=\"rejected\",cause=\"cancelled\"} 1",
        ],
    )
    .await;

    let of_worker = metrics_address(rig.add_worker(&[METRICS])).await;
    rig.client.watch(&first.issue_id).await;
    let text = until_scraped(
        &of_worker,
        &[
            "draftsman_worker_claimed_total 2",
            "draftsman_worker_ended_total{outcome=\"applied\"} 1",
            "draftsman_worker_ended_total{outcome=\"denied\"} 1",
            "draftsman_worker_ended_total{outcome=\"put_off\"} 0",
            "draftsman_worker_ended_total{outcome=\"stale\"} 0",
            "draftsman_worker_reaped_total 0",
            "draftsman_worker_open 0",
            "draftsman_worker_wait_seconds_count 2",
            "draftsman_worker_issue_seconds_count 2",
            "draftsman_redis_call_seconds_count{call=\"settle_issue\"} 2",
        ],
    )
    .await;
    assert!(
        text.contains("draftsman_worker_step_seconds_bucket{step=\""),
        "{text}"
    );
    until_scraped(
        &of_intake,
        &[
            "draftsman_queue_issues{place=\"pending\"} 0",
            "draftsman_queue_oldest_seconds 0",
            "draftsman_queue_workers 1",
            "draftsman_queue_decided_total{outcome=\"applied\",cause=\"\"} 1",
            "draftsman_queue_decided_total{outcome=\"rejected\",cause=\"denied\"} 1",
        ],
    )
    .await;
    for text in [scrape(&of_intake).await, scrape(&of_worker).await] {
        assert!(!text.contains("counted"), "an id is a label:\n{text}");
        for line in text.lines().filter(|line| line.starts_with("draftsman_")) {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let described = [Some(name), family].into_iter().flatten();
            let mut described = described.map(|name| format!("# HELP {name} "));
            assert!(
                described.any(|help| text.contains(&help)),
                "{name} is not described"
            );
        }
    }
}

/// A span as the collector received it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    trace: String,
    parent: String,
    id: String,
    service: String,
    name: String,
}

/// A collector that records the spans it receives.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        for resource in request.into_inner().resource_spans {
            let described = format!("{:?}", resource.resource);
            let service = ["intake", "worker"]
                .into_iter()
                .find(|name| described.contains(&format!("\"{name}\"")));
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                self.0.lock().expect("no holder panics").push(Seen {
                    trace: hex(&span.trace_id),
                    parent: hex(&span.parent_span_id),
                    id: hex(&span.span_id),
                    service: service.unwrap_or_default().to_owned(),
                    name: span.name,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts the collector; returns its address, too.
    async fn start() -> (Self, String) {
        let collector = Collector::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        (collector, format!("http://{address}"))
    }

    fn of_trace(&self, trace: &str) -> Vec<Seen> {
        let seen = self.0.lock().expect("no holder panics");
        seen.iter()
            .filter(|span| span.trace == trace)
            .cloned()
            .collect()
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

async fn submit_traced(rig: &Rig, blueprint_id: &str) -> v1::Issue {
    let mut request = Request::new(v1::SubmitIssueRequest {
        blueprint_id: blueprint_id.to_owned(),
        intent: "tag x".to_owned(),
        issue_id: None,
        ..Default::default()
    });
    let header = format!("00-{TRACE}-{PARENT}-01").parse().expect("a header");
    request.metadata_mut().insert("traceparent", header);
    let answer = rig.client.intake.clone().submit_issue(request).await;
    answer
        .expect("SubmitIssue")
        .into_inner()
        .issue
        .expect("an issue")
}

/// The field of the issue in Redis that carries its trace.
async fn stored_trace(rig: &Rig, issue: &v1::Issue) -> Option<String> {
    let id = shared::ids::IssueId::parse(&issue.issue_id).expect("an id");
    let mut connection = rig.redis.connection().await;
    let mut command = redis::cmd("HGET");
    command.arg(Keys::of_shard(0).issue(&id)).arg("trace");
    command.query_async(&mut connection).await.expect("HGET")
}

#[tokio::test]
async fn one_trace_shows_an_issue_from_its_call_to_its_settlement() {
    let (collector, endpoint) = Collector::start().await;
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&env).await;
    rig.add_worker(&env);
    rig.client.put(factory::small("traced")).await;
    let issue = submit_traced(&rig, "traced").await;
    let last = rig
        .client
        .watch(&issue.issue_id)
        .await
        .pop()
        .expect("a state");
    assert_eq!(last.state(), IssueState::Applied);

    let steps = [
        "patch-spawner",
        "patch-applier",
        "verifier-router",
        "committer",
    ];
    let spans = eventually("the trace is whole", async || {
        let spans = collector.of_trace(TRACE);
        let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        let mut wanted = vec![
            "enhance.v1.IntakeService/SubmitIssue",
            "pop",
            "issue",
            "settle",
        ];
        wanted.extend(steps);
        match wanted.iter().find(|name| !names.contains(**name)) {
            None => Ok(spans),
            Some(name) => Err(format!("{name} is not in {names:?}")),
        }
    })
    .await;
    let named = |name: &str| {
        spans
            .iter()
            .find(|span| span.name == name)
            .expect("it was there")
    };
    let (call, work) = (
        named("enhance.v1.IntakeService/SubmitIssue"),
        named("issue"),
    );
    assert_eq!(
        (call.service.as_str(), call.parent.as_str()),
        ("intake", PARENT)
    );
    assert_eq!((work.service.as_str(), &work.parent), ("worker", &call.id));
    assert_eq!(named("pop").parent, call.id);
    for inner in steps.into_iter().chain(["settle"]) {
        assert_eq!(named(inner).parent, work.id, "{inner}");
    }
    // A program exports its last spans before it ends.
    assert_eq!(rig.workers[0].terminate().await.code(), Some(0));
    assert_eq!(rig.intake.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn one_trace_shows_a_preview_from_its_call_to_its_last_step() {
    let (collector, endpoint) = Collector::start().await;
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&env).await;
    rig.add_worker(&env);
    rig.until_registered(1).await;
    rig.client.put(factory::small("tried")).await;
    let mut request = Request::new(v1::PreviewIssueRequest {
        blueprint_id: "tried".to_owned(),
        intent: "tag x".to_owned(),
    });
    let header = format!("00-{TRACE}-{PARENT}-01").parse().expect("a header");
    request.metadata_mut().insert("traceparent", header);
    let answer = rig.client.intake.clone().preview_issue(request).await;
    assert!(answer.expect("PreviewIssue").into_inner().would_apply);

    let steps = [
        "patch-spawner",
        "patch-applier",
        "verifier-router",
        "committer",
    ];
    let spans = eventually("the trace is whole", async || {
        let spans = collector.of_trace(TRACE);
        let has = |name: &&str| spans.iter().any(|span| span.name == **name);
        let mut wanted = steps
            .iter()
            .chain(&["enhance.v1.IntakeService/PreviewIssue", "preview"]);
        match wanted.find(|name| !has(name)) {
            None => Ok(spans),
            Some(name) => Err(format!("{name} is not in {spans:?}")),
        }
    })
    .await;
    let named = |name: &str| {
        spans
            .iter()
            .find(|span| span.name == name)
            .expect("it was there")
    };
    let (call, work) = (
        named("enhance.v1.IntakeService/PreviewIssue"),
        named("preview"),
    );
    assert_eq!(
        (call.service.as_str(), call.parent.as_str()),
        ("intake", PARENT)
    );
    assert_eq!((work.service.as_str(), &work.parent), ("worker", &call.id));
    for step in steps {
        assert_eq!(named(step).parent, work.id, "{step}");
    }
}

#[tokio::test]
async fn a_trace_is_kept_for_whoever_makes_one_and_costs_nobody_else() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("kept")).await;
    let plain = rig.client.submit("kept", "tag x").await;
    assert_eq!(stored_trace(&rig, &plain).await, None);
    let traced = submit_traced(&rig, "kept").await;
    let expected = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(
        stored_trace(&rig, &traced).await.as_deref(),
        Some(expected.as_str())
    );

    let (collector, endpoint) = Collector::start().await;
    rig.add_worker(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ]);
    eventually("the worker goes on with the caller's trace", async || {
        let spans = collector.of_trace(TRACE);
        let work = spans.iter().find(|span| span.name == "issue");
        work.filter(|span| span.parent == PARENT)
            .map(drop)
            .ok_or(format!("{spans:?}"))
    })
    .await;
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_is_away() {
    let nowhere = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[nowhere]).await;
    rig.add_worker(&[nowhere]);
    rig.client.put(factory::small("alone")).await;
    assert_eq!(
        rig.client.run("alone", "tag x").await.state(),
        IssueState::Applied
    );
    assert_eq!(rig.workers[0].terminate().await.code(), Some(0));
    assert_eq!(rig.intake.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn every_log_line_is_json_and_names_its_issue() {
    let env = [("DRAFTSMAN_LOG_FORMAT", "json"), ("DRAFTSMAN_LOG", "debug")];
    let mut rig = Rig::without_worker().await;
    let redis_url = rig.redis.url();
    let mut intake = Process::intake(&redis_url, &env);
    intake.until_ready().await;
    rig.workers.push(Process::worker(&redis_url, &env));
    rig.client.put(factory::small("logged")).await;
    let applied = rig.client.run("logged", "tag x").await;
    let denied = rig.client.run("logged", "nobody understands this").await;
    rig.workers[0].until_logged("denied").await;
    rig.write_setting(|setting| setting.verifier_axes = Vec::new())
        .await;
    let failed = rig.client.run("logged", "tag x").await;
    assert_eq!(failed.cause(), v1::RejectionCause::Failed);
    rig.workers[0].until_logged("failed;").await;
    assert_eq!(rig.workers[0].terminate().await.code(), Some(0));
    assert_eq!(intake.terminate().await.code(), Some(0));

    let mut said = Vec::new();
    for log in [rig.workers[0].stderr(), intake.stderr()] {
        for line in log.lines() {
            let line: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for field in ["level", "target", "message", "timestamp"] {
                assert!(line[field].is_string(), "{field} is not in {line}");
            }
            // The issue id of the line, or of the span of the line.
            let issue_id = [&line["issue_id"], &line["span"]["issue_id"]]
                .into_iter()
                .find_map(Value::as_str);
            let message = line["message"].as_str().unwrap_or_default().to_owned();
            if message == "denied" {
                assert!(line["axes"].is_array(), "{line}");
            }
            // The kind of a failure, and never its text.
            if message.starts_with("failed;") {
                assert_eq!(line["kind"], "not_started", "{line}");
                assert!(!line.to_string().contains(&failed.reason), "{line}");
            }
            if ["applied", "denied"].contains(&message.as_str()) {
                said.push((message, issue_id.unwrap_or_default().to_owned()));
            }
        }
    }
    let expected = [("applied", applied.issue_id), ("denied", denied.issue_id)];
    assert_eq!(said, expected.map(|(message, id)| (message.to_owned(), id)));
}
