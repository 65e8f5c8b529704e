//! The fixture of every measurement: new processes with sample Blueprints.

use clap::ValueEnum;
use tests::client::Client;
use tests::factory;
use tests::programs::{Process, Program};
use tests::redis_server::{Aof, RedisServer};

/// Watches of one connection; intake allows 4,096.
pub(crate) const STREAMS_PER_CONNECTION: usize = 1_000;

/// The size of the Blueprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// About 2 KB.
    #[value(name = "2kb")]
    TwoKb,
    /// About 100 KB.
    #[value(name = "100kb")]
    HundredKb,
}

/// The number of Blueprints that the issues are spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// One: each issue waits for the previous one.
    One,
    /// Many: issues run in parallel.
    Many,
}

impl Spread {
    /// The number of Blueprints.
    pub(crate) fn count(self) -> usize {
        match self {
            Spread::One => 1,
            Spread::Many => 64,
        }
    }
}

/// Redis, intake, workers if started, and the Blueprints.
pub(crate) struct Fixture {
    pub(crate) client: Client,
    pub(crate) workers: Vec<Process>,
    pub(crate) intake: Process,
    pub(crate) redis: RedisServer,
    pub(crate) blueprint_ids: Vec<String>,
}

impl Fixture {
    /// Starts Redis and intake and stores the Blueprints.
    pub(crate) async fn start(scale: Scale, spread: Spread) -> Self {
        let mut fixture = Self::bare(&[]).await;
        for n in 0..spread.count() {
            fixture.add(&format!("bench-{n}"), scale).await;
        }
        fixture
    }

    /// Starts Redis and intake with these variables.
    pub(crate) async fn bare(env: &[(&str, &str)]) -> Self {
        // Without this limit, Redis closes the connection when this program reads slowly.
        let redis = RedisServer::start_with(
            Aof::EverySecond,
            &["--client-output-buffer-limit", "pubsub 0 0 0"],
        );
        let mut intake = Process::intake(&redis.url(), env);
        let client = Client::connect(&intake.address().await).await;
        Self {
            client,
            workers: Vec::new(),
            intake,
            redis,
            blueprint_ids: Vec::new(),
        }
    }

    /// Stores a Blueprint that the load then targets.
    pub(crate) async fn add(&mut self, id: &str, scale: Scale) {
        let document = match scale {
            Scale::TwoKb => factory::two_kb(id),
            Scale::HundredKb => factory::hundred_kb(id),
        };
        self.client.put(document).await;
        self.blueprint_ids.push(id.to_owned());
    }

    /// Starts `count` workers with their default configuration and waits until they are ready.
    pub(crate) async fn start_workers(&mut self, count: usize) {
        let url = self.redis.url();
        for _ in 0..count {
            let env = [("DRAFTSMAN_REDIS_URL", &*url)];
            self.workers
                .push(Process::start(Program::Worker, &[], &env));
        }
        for worker in &self.workers {
            worker.until_logged("worker is ready").await;
        }
        for id in &self.blueprint_ids {
            let issue = self.client.run(id, "describe as warm").await;
            assert_eq!(
                issue.state(),
                proto::v1::IssueState::Applied,
                "the flow works: {issue:?}"
            );
        }
    }

    /// The processes that share the machine, by name. This program is the last one.
    pub(crate) fn processes(&self) -> Vec<(&'static str, Vec<u32>)> {
        let workers: Vec<u32> = self.workers.iter().map(Process::pid).collect();
        let mut processes = vec![
            ("redis", vec![self.redis.pid()]),
            ("intake", vec![self.intake.pid()]),
        ];
        if !workers.is_empty() {
            processes.push(("worker", workers));
        }
        processes.push(("generator", vec![std::process::id()]));
        processes
    }
}

/// The intent of issue number `n`. It changes the document and keeps its size.
pub(crate) fn intent(n: usize) -> String {
    format!("describe as measured {n}")
}
