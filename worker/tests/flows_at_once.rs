//! One worker uses all cores: flows run concurrently on all flow threads.
//!
//! The worker runs in this process, because the test uses a callback of a fail point. The callback
//! stands for a flow that uses its thread for 10 ms. The result does not depend on the speed of the
//! machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use tests::eventually::{eventually, within_wait_limit};
use tests::store_fixture::{Fixture, new_issue};
use tokio_util::sync::CancellationToken;
use worker::{Args, Config};

const N_THREADS: usize = 8;
const N_BLUEPRINTS: usize = 16;
/// Issues of each Blueprint, one after the other.
const N_ISSUES: usize = 4;

/// The current and the maximum number of flows in the fail point.
#[derive(Default)]
struct Running {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Running {
    fn burn(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(10) {
            std::hint::spin_loop();
        }
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

fn config(redis_url: &str) -> Config {
    let args = [
        "worker",
        "--redis-url",
        redis_url,
        "--metrics-listen",
        "off",
    ];
    let args = Args::try_parse_from(args).expect("arguments that it knows");
    let (config, _) = args.into_config().expect("sound");
    Config {
        flow_threads: N_THREADS,
        ..config
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn flows_run_on_all_threads_at_the_same_moment() {
    let running = Arc::new(Running::default());
    let burning = Arc::clone(&running);
    fail::cfg_callback("flow.after", move || burning.burn()).expect("a fail point");

    let names: Vec<String> = (0..N_BLUEPRINTS).map(|n| format!("b{n}")).collect();
    let fixture = Fixture::with(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for name in &names {
        for n in 0..N_ISSUES {
            let issue = new_issue(name, &format!("{name}-{n}"));
            fixture.store.submit(&issue).await.expect("accepted");
        }
    }
    let stop = CancellationToken::new();
    let working = worker::run(config(&fixture.redis.url()), stop.clone().cancelled_owned());
    let working = tokio::spawn(working);
    eventually("every issue is decided", async || {
        let stats = fixture.whole.queue_stats().await.expect("an answer");
        match stats.pending + stats.in_flight {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    })
    .await;
    stop.cancel();
    let ended = within_wait_limit("the worker ends", working).await;
    ended.expect("no panic").expect("no error");

    // A regression test: with a lock that every issue takes between tasks, the maximum was one or
    // two. The owner of the lock waited for the flow on its thread, and all other tasks waited for
    // the lock.
    let most = running.most.load(Ordering::Relaxed);
    assert!(
        (N_THREADS / 2..=N_THREADS).contains(&most),
        "{most} flows at once on {N_THREADS} threads"
    );
}
