//! Reads Redis's memory use and decides whether new issues are accepted.

use std::time::{Duration, Instant};

use redis::cmd;

use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

/// The share of `maxmemory`, in percent, from which new issues are rejected.
pub(crate) const ADMISSION_PERCENT: u64 = 90;

/// The lifetime of a memory reading.
const MEMORY_POLL: Duration = Duration::from_secs(1);

impl Shard {
    /// Returns the used and the allowed memory in bytes.
    pub(crate) async fn memory(&self) -> Result<(u64, u64), StoreError> {
        let info: String = self
            .handle
            .command("memory", cmd("INFO").arg("memory"))
            .await?;
        let number = |name: &str| {
            let line = info
                .lines()
                .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
        };
        Ok((number("used_memory"), number("maxmemory")))
    }

    /// Returns used and allowed bytes if memory use is too high to accept new issues. It reads at
    /// most once a second.
    pub(crate) async fn memory_pressure(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let last = {
            let mut last = self.memory.0.lock().expect("no holder of this lock panics");
            let fresh = |(at, _, _): &(Instant, _, _)| at.elapsed() < MEMORY_POLL;
            let found = last.filter(fresh);
            // The first caller after expiry reads it again. The others use the old value until
            // then.
            if let (None, Some((at, _, _))) = (found, last.as_mut()) {
                *at = Instant::now();
            }
            found
        };
        let (used, max) = match last {
            Some((_, used, max)) => (used, max),
            None => {
                let (used, max) = self.memory().await?;
                *self.memory.0.lock().expect("no holder of this lock panics") =
                    Some((Instant::now(), used, max));
                (used, max)
            }
        };
        Ok((max > 0 && used >= max / 100 * ADMISSION_PERCENT).then_some((used, max)))
    }
}
