//! How much memory Redis uses, and whether new issues are still accepted.

use std::time::{Duration, Instant};

use redis::cmd;

use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

/// From this part of `maxmemory` on nothing is taken in.
pub(crate) const ADMISSION_PERCENT: u64 = 90;

/// How long a reading of Redis's memory holds.
const MEMORY_POLL: Duration = Duration::from_secs(1);

impl Shard {
    /// Bytes that Redis uses and may use.
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

    /// Bytes used and allowed, if so much is used that nothing more is to be taken in.
    /// Looks once a second at most.
    pub(crate) async fn memory_pressure(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let last = {
            let mut last = self.memory.0.lock().expect("no holder of this lock panics");
            let fresh = |(at, _, _): &(Instant, _, _)| at.elapsed() < MEMORY_POLL;
            let found = last.filter(fresh);
            // Who finds it old reads it anew; the others go by the old one until that is done.
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
