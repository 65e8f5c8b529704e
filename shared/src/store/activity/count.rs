//! Counts new decisions. Any number of workers can do so at once: each part of the log is counted
//! by one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::cmd;
use serde::Serialize;

use crate::domain::activity::Level;
use crate::ids::IssueId;
use crate::store::activity::figures;
use crate::store::codec;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The number of entries in one round trip. An entry can have a patch with a whole document.
const BATCH: usize = 50;

/// The result of a count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountedDecisions {
    /// The number of counted entries.
    pub counted: u64,
    /// The number of entries that are missing or damaged; they are not counted later either.
    pub skipped: u64,
}

#[derive(Serialize)]
struct CountArg {
    from: usize,
    to: usize,
    hashes: Vec<HashArg>,
}

#[derive(Serialize)]
struct HashArg {
    expires_at: u64,
    /// Field and number in turn.
    figures: Vec<String>,
}

/// The figures of each hash: its key, when it is forgotten, and numbers by field.
type Hashes = BTreeMap<String, (u64, BTreeMap<String, u64>)>;

impl Shard {
    /// Returns true for one caller per interval `every`: that caller counts.
    ///
    /// # Errors
    /// [`StoreError`]. The turn may be taken nevertheless; the next one follows after `every`.
    pub async fn take_activity_turn(&self, every: Duration) -> Result<bool, StoreError> {
        let key = self.keys.activity_counted();
        self.take_turn("activity turn", key, every).await
    }

    /// Counts the decisions since the last call, of any caller.
    ///
    /// Cancel safety: a dropped call loses nothing and counts nothing twice.
    ///
    /// # Errors
    /// [`StoreError`]. Counted entries stay counted.
    pub async fn count_activity(&self) -> Result<CountedDecisions, StoreError> {
        let mut all = CountedDecisions::default();
        loop {
            let mut state = redis::pipe();
            state.cmd("GET").arg(self.keys.activity_cursor());
            state.cmd("LLEN").arg(self.keys.decided());
            let (cursor, length): (Option<usize>, usize) =
                self.handle.pipeline("activity cursor", &state).await?;
            let from = cursor.unwrap_or(0);
            if from == length {
                return Ok(all);
            }
            // Redis lost the end of the list. New entries count from here on.
            let to = if from > length {
                length
            } else {
                length.min(from + BATCH)
            };
            let mut hashes = Hashes::new();
            let mut batch = CountedDecisions::default();
            if from < to {
                batch = self.read_decisions(from, to, &mut hashes).await?;
            }
            if self.add_figures(from, to, hashes).await? {
                all.counted += batch.counted;
                all.skipped += batch.skipped;
            }
        }
    }

    /// Reads the entries with these indexes of the list of decisions into `hashes`.
    async fn read_decisions(
        &self,
        from: usize,
        to: usize,
        hashes: &mut Hashes,
    ) -> Result<CountedDecisions, StoreError> {
        let mut range = cmd("LRANGE");
        range.arg(self.keys.decided()).arg(from).arg(to - 1);
        let ids: Vec<String> = self.handle.command("activity list", &range).await?;
        if ids.is_empty() {
            return Ok(CountedDecisions::default());
        }
        let issues = ids.iter().map(|id| IssueId::parse(id).ok());
        let issues: Vec<Option<IssueId>> = issues.collect();
        let mut read = redis::pipe();
        read.cmd("HMGET").arg(self.keys.log()).arg(&ids);
        for issue in issues.iter().flatten() {
            read.cmd("HMGET").arg(self.keys.issue(issue));
            read.arg("submitted_at").arg("claimed_at");
        }
        let mut replies: Vec<Vec<Option<String>>> =
            self.handle.pipeline("activity entries", &read).await?;
        let texts = replies.remove(0);
        let mut times = replies.into_iter();
        let mut batch = CountedDecisions::default();
        for (issue, text) in issues.iter().zip(texts) {
            let Some(issue) = issue else {
                batch.skipped += 1;
                continue;
            };
            let time = times.next().unwrap_or_default();
            let time = |at: usize| time.get(at)?.as_deref()?.parse::<u64>().ok();
            let entry = text.map(|text| codec::log_entry(issue, &text));
            let Some(Ok(entry)) = entry else {
                batch.skipped += 1;
                continue;
            };
            batch.counted += 1;
            let secs = entry.ts_ms / 1_000;
            let figures = figures::of_entry(&entry, time(0), time(1));
            for level in Level::ALL {
                let (span, part) = figures::place(level, secs);
                for blueprint in [None, Some(&entry.blueprint_id)] {
                    let key = self.keys.activity(figures::name(level), span, blueprint);
                    let expires_at = figures::forgotten_at(level, span);
                    let (_, fields) = hashes
                        .entry(key)
                        .or_insert_with(|| (expires_at, BTreeMap::new()));
                    for (figure, n) in &figures {
                        *fields.entry(format!("{part}|{figure}")).or_default() += n;
                    }
                }
            }
        }
        Ok(batch)
    }

    /// Returns false if another caller has moved the cursor.
    async fn add_figures(
        &self,
        from: usize,
        to: usize,
        hashes: Hashes,
    ) -> Result<bool, StoreError> {
        let mut keys = vec![self.keys.activity_cursor()];
        let mut args = Vec::with_capacity(hashes.len());
        for (key, (expires_at, fields)) in hashes {
            keys.push(key);
            let pairs = fields.into_iter();
            let figures = pairs
                .flat_map(|(field, n)| [field, n.to_string()])
                .collect();
            args.push(HashArg {
                expires_at,
                figures,
            });
        }
        let arg = CountArg {
            from,
            to,
            hashes: args,
        };
        let packed = rmp_serde::to_vec_named(&arg).map_err(|_| StoreError::Contract {
            script: "count_activity",
            got: "an argument that cannot be encoded".to_owned(),
        })?;
        let reply = self
            .handle
            .script(&script::COUNT_ACTIVITY, &keys, |call| {
                call.arg(&packed[..]);
            })
            .await?;
        match reply.outcome() {
            "counted" => Ok(true),
            "moved" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }
}
