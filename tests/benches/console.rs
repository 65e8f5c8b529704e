//! Measures the console on a large store: the time until the first byte of each page, and its size.
//! The store is filled with a seed, so that runs are comparable.

use std::time::{Duration, Instant};

use futures::StreamExt;
use proto::v1;
use tests::client::Client;
use tests::console::Console;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The size of the store.
const BLUEPRINTS: usize = 1_000;
const ISSUES: usize = 100_000;
/// The seed of what is filed.
const SEED: u64 = 17;
/// Concurrent calls of the loader.
const CALLS: usize = 64;
/// Issues that are decided before the pages are measured.
const DECIDED: usize = 2_000;
/// The number of requests for each page. The results are the median and the maximum.
const N_TIMES: usize = 21;

/// Prints the times and the sizes.
pub(crate) async fn print(is_short: bool) {
    let (blueprints, issues, decided) = if is_short {
        (BLUEPRINTS / 10, ISSUES / 10, DECIDED / 10)
    } else {
        (BLUEPRINTS, ISSUES, DECIDED)
    };
    let redis = RedisServer::start(Aof::None);
    let mut intake = Process::intake(&redis.url(), &[]);
    let address = intake.address().await;
    let client = Client::connect(&address).await;
    load(&client, blueprints, issues).await;
    let mut worker = Process::worker(&redis.url(), &[]);
    loop {
        let stats = client.stats().await;
        if stats.pending + stats.in_flight + decided as u64 <= issues as u64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The machine is idle while pages are measured.
    worker.terminate().await;
    let issue = client.entries().await.pop().expect("a decision").issue_id;
    let console = Console::start(&address, &[]).await;
    println!("pages of the console at {issues} issues and {blueprints} Blueprints");
    println!("  first byte: median and maximum of {N_TIMES}, ms; size compressed, KB");
    let pages = [
        "/".to_owned(),
        "/?window=week".to_owned(),
        "/issues".to_owned(),
        "/issues?state=denied".to_owned(),
        format!("/issues/{issue}"),
        "/reviews".to_owned(),
        "/blueprints".to_owned(),
        "/blueprints/console-1".to_owned(),
        "/blueprints/console-1?tab=history".to_owned(),
        "/blueprints/console-large".to_owned(),
        "/blueprints/console-large?tab=document".to_owned(),
        "/settings".to_owned(),
        "/workers".to_owned(),
    ];
    for path in pages {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..N_TIMES {
            let (time, size) = get(&console, &path).await;
            times.push(time);
            bytes = size;
        }
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "  {path:<44} {:>7.1} {:>7.1} {:>8.1}",
            ms(times[N_TIMES / 2]),
            ms(times[N_TIMES - 1]),
            bytes as f64 / 1e3
        );
    }
}

/// Writes the Blueprints and files the issues.
async fn load(client: &Client, blueprints: usize, issues: usize) {
    let put = |n: usize| async move { client.put(factory::small(&format!("console-{n}"))).await };
    futures::stream::iter((0..blueprints).map(put))
        .buffer_unordered(CALLS)
        .collect::<Vec<_>>()
        .await;
    // Just below 1 MiB.
    client
        .put(factory::document("console-large", 1_200, 780))
        .await;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let filed = (0..issues).map(|n| {
        let blueprint_id = format!("console-{}", rng.usize(..blueprints));
        let intent = match rng.u8(..4) {
            0 => "remove /nothing".to_owned(),
            _ => format!("tag t{n}"),
        };
        let mut intake = client.intake.clone();
        async move {
            let request = v1::SubmitIssueRequest {
                blueprint_id,
                intent,
                ..Default::default()
            };
            intake.submit_issue(request).await.expect("it is accepted");
        }
    });
    futures::stream::iter(filed)
        .buffer_unordered(CALLS)
        .for_each(|()| async {})
        .await;
}

/// Gets a page. Returns the time until its first byte, and its size in bytes.
async fn get(console: &Console, path: &str) -> (Duration, usize) {
    let host = console.host();
    let mut stream = TcpStream::connect(host).await.expect("a connection");
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
    );
    let started = Instant::now();
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    let time = started.elapsed();
    assert_eq!(&first, b"HTTP/1.1 200", "{path}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("an answer");
    let head = rest
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    (time, rest.len() - head - 4)
}
