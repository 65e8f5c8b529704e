//! `check`: checks a running deployment against the rules of the checker. `make test-compose` calls
//! it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tests::checker::{Attempts, Snapshot, violations};
use tests::client::Client;

/// Reads everything that the programs stored, over gRPC and from Redis, and prints each violation
/// of a rule.
#[derive(Debug, Parser)]
struct Args {
    /// The address of intake: host:port.
    #[arg(long)]
    intake: String,
    /// The URL of its Redis.
    #[arg(long)]
    redis_url: String,
    /// A file with the ids of the submitted issues, one per line. Ids of one Blueprint are in the
    /// order of their acceptance.
    #[arg(long)]
    acknowledged: PathBuf,
    /// The maximum number of attempts of an issue.
    #[arg(long)]
    most_attempts: u32,
}

#[expect(
    clippy::print_stdout,
    reason = "the findings are this program's output"
)]
fn main() -> ExitCode {
    let args = Args::parse();
    let ids = std::fs::read_to_string(&args.acknowledged).expect("the file of ids can be read");
    let ids: Vec<String> = ids.lines().map(str::to_owned).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let snapshot = runtime.block_on(async {
        let client = Client::connect(&args.intake).await;
        let redis = redis::Client::open(args.redis_url.as_str()).expect("a URL of Redis");
        let redis = redis.get_multiplexed_async_connection().await;
        Snapshot::read_through(&client, vec![redis.expect("Redis answers")], &ids).await
    });
    let found = violations(&snapshot, Attempts::UpTo(args.most_attempts));
    for violation in &found {
        println!("{violation}");
    }
    let attempts = snapshot.issues.values().map(|issue| issue.attempt);
    println!(
        "{} issues acknowledged, {} log entries, {} Blueprints, at most {} attempts: {} violations",
        ids.len(),
        snapshot.entries.len(),
        snapshot.histories.len(),
        attempts.max().unwrap_or(0),
        found.len()
    );
    if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
