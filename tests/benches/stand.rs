//! What every measurement stands on: fresh processes with sample Blueprints in them.

use clap::ValueEnum;
use tests::client::Client;
use tests::factory;
use tests::programs::{Process, Program};
use tests::redis_server::{Aof, RedisServer};

/// How large the Blueprints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// About 2 KB.
    #[value(name = "2kb")]
    TwoKb,
    /// About 100 KB.
    #[value(name = "100kb")]
    HundredKb,
}

/// Over how many Blueprints the issues go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// One: each issue waits for the one before.
    One,
    /// Many: they run side by side.
    Many,
}

impl Spread {
    /// How many Blueprints that is.
    pub(crate) fn count(self) -> usize {
        match self {
            Spread::One => 1,
            Spread::Many => 64,
        }
    }
}

/// Redis and intake, perhaps a worker, and the Blueprints.
pub(crate) struct Stand {
    pub(crate) client: Client,
    pub(crate) worker: Option<Process>,
    pub(crate) intake: Process,
    pub(crate) redis: RedisServer,
    pub(crate) blueprint_ids: Vec<String>,
}

impl Stand {
    /// Starts Redis and intake and stores the Blueprints.
    pub(crate) async fn start(scale: Scale, spread: Spread) -> Self {
        // Without a limit, so that Redis does not cut this program off when it reads slowly.
        let redis = RedisServer::start_with(
            Aof::EverySecond,
            &["--client-output-buffer-limit", "pubsub 0 0 0"],
        );
        let mut intake = Process::intake(&redis.url(), &[]);
        let client = Client::connect(&intake.address().await).await;
        let blueprint_ids: Vec<String> =
            (0..spread.count()).map(|n| format!("bench-{n}")).collect();
        for id in &blueprint_ids {
            client
                .put(match scale {
                    Scale::TwoKb => factory::two_kb(id),
                    Scale::HundredKb => factory::hundred_kb(id),
                })
                .await;
        }
        Self {
            client,
            worker: None,
            intake,
            redis,
            blueprint_ids,
        }
    }

    /// Starts a worker with its default configuration and waits until it does what it is for.
    pub(crate) async fn start_worker(&mut self) {
        let url = self.redis.url();
        self.worker = Some(Process::start(
            Program::Worker,
            &[],
            &[("DRAFTSMAN_REDIS_URL", &url)],
        ));
        for id in &self.blueprint_ids {
            let issue = self.client.run(id, "describe as warm").await;
            assert_eq!(
                issue.state(),
                proto::v1::IssueState::Applied,
                "the flow works: {issue:?}"
            );
        }
    }

    /// The processes that share the machine, by name, this program last.
    pub(crate) fn processes(&self) -> Vec<(&'static str, u32)> {
        let mut processes = vec![("redis", self.redis.pid()), ("intake", self.intake.pid())];
        processes.extend(self.worker.as_ref().map(|w| ("worker", w.pid())));
        processes.push(("generator", std::process::id()));
        processes
    }
}

/// The intent of the issue number `n`: it changes the document and does not make it grow.
pub(crate) fn intent(n: usize) -> String {
    format!("describe as measured {n}")
}
