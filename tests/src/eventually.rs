//! Waits for effects of other processes.
//!
//! No suite sleeps for a fixed time. A test names the condition, and [`eventually`] polls until it
//! holds. `DRAFTSMAN_TEST_WAIT_SECS` sets the wait limit for the whole run; a slow machine
//! needs a higher value.

use std::future::Future;
use std::time::{Duration, Instant};

const ENV_WAIT_LIMIT: &str = "DRAFTSMAN_TEST_WAIT_SECS";
/// Far above any real duration on two busy cores; only a failing test waits that long.
const DEFAULT_WAIT_LIMIT: Duration = Duration::from_secs(60);

/// The time that a test waits for a condition before it fails.
pub fn wait_limit() -> Duration {
    match std::env::var(ENV_WAIT_LIMIT) {
        Ok(text) => Duration::from_secs(
            text.parse()
                .expect("DRAFTSMAN_TEST_WAIT_SECS is a number of seconds"),
        ),
        Err(_) => DEFAULT_WAIT_LIMIT,
    }
}

/// Calls `look` until it returns a value, and returns that value.
///
/// `look` returns the observed state as `Err`; the panic's message contains the last one.
///
/// # Panics
/// If [`wait_limit`] runs out.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > wait_limit() => {
                panic!("{what}: not within {:?}; last seen: {seen}", wait_limit())
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// As [`eventually`], for a synchronous `look`.
///
/// # Panics
/// If [`wait_limit`] runs out.
pub async fn eventually_now<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > wait_limit() => {
                panic!("{what}: not within {:?}; last seen: {seen}", wait_limit())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// As [`eventually`], for callers without async code.
///
/// # Panics
/// If [`wait_limit`] runs out.
pub fn eventually_blocking<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > wait_limit() => {
                panic!("{what}: not within {:?}; last seen: {seen}", wait_limit())
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Waits for `future`, but no longer than [`wait_limit`].
///
/// # Panics
/// If [`wait_limit`] runs out.
pub async fn within_wait_limit<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(wait_limit(), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {:?}", wait_limit()),
    }
}
