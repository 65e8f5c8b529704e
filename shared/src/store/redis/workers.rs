//! Workers as the store knows them: their heartbeats, and what dead ones left behind.

use std::collections::{BTreeSet, HashMap, HashSet};

use redis::cmd;

use super::Shard;
use super::connection::ConnectionId;
use super::error::StoreError;
use super::queue::{IssueRef, Lease};
use super::script;
use crate::blueprint::orbit::scripts;
use crate::ids::WorkerId;
use crate::setting::BUNDLED_AXES;
use crate::whole_ms::score_ms;

/// What a heartbeat found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// Leases that are not this worker's any more: stop that work.
    pub lost: Vec<IssueRef>,
    /// Issues that were called off: stop that work.
    pub cancelled: Vec<IssueRef>,
    /// Elements of the processing list that no lease has: popped, and the reply got lost.
    pub unleased: Vec<IssueRef>,
    /// True if the worker's scripts are known. A worker that was silent for an hour is forgotten, and Redis may lose
    /// what it had: then they must be registered again.
    pub is_registered: bool,
}

/// How long a worker that is gone stays registered: a command that sat in a socket's buffer
/// can fill its list after its death.
const REMEMBERED_MS: u64 = 3_600_000;

/// A worker that was not heard of for this long counts as gone: it beats every five seconds.
pub(super) const GONE_MS: u64 = 60_000;

/// Before the name of an axis among the scripts, as in its path. No script of a step is called that: its
/// name has no slash.
const AXIS: &str = "verifiers/";

/// The scripts and axes that orbits and settings may name.
#[derive(Debug, Clone)]
pub struct KnownScripts(HashSet<String>);

impl KnownScripts {
    /// True if an agent of kind `lua` can name this script.
    pub fn has_step(&self, name: &str) -> bool {
        scripts::is_bundled(name) || (!name.starts_with(AXIS) && self.is_registered(name))
    }

    /// True if this axis has a script.
    pub fn has_axis(&self, name: &str) -> bool {
        BUNDLED_AXES.iter().any(|axis| scripts::is_same(axis, name))
            || self.is_registered(&format!("{AXIS}{name}"))
    }

    fn is_registered(&self, name: &str) -> bool {
        self.0.iter().any(|known| scripts::is_same(known, name))
    }

    /// The axes that there are, in order.
    pub fn axes(&self) -> Vec<&str> {
        let registered = self.0.iter().filter_map(|name| name.strip_prefix(AXIS));
        let all: BTreeSet<&str> = registered.chain(BUNDLED_AXES).collect();
        all.into_iter().collect()
    }
}

impl Shard {
    /// Says that the worker lives and extends the leases that it names.
    ///
    /// # Errors
    /// [`StoreError`]; the leases may have been extended all the same.
    pub async fn beat(
        &self,
        worker: &WorkerId,
        lease_ms: u64,
        held: &[Lease],
    ) -> Result<Beat, StoreError> {
        let mut keys = vec![
            self.keys.workers(),
            self.keys.worker_load(),
            self.keys.leases(),
            self.keys.processing(worker.as_str()),
            self.keys.worker_scripts(),
        ];
        keys.extend(
            held.iter()
                .map(|lease| self.keys.issue(&lease.issue.issue_id)),
        );
        let mut reply = self
            .link
            .script(&script::BEAT_WORKER, &keys, |call| {
                call.arg(worker.as_str()).arg(lease_ms);
                for lease in held {
                    call.arg(lease.issue.element()).arg(&lease.token);
                }
            })
            .await?;
        match reply.outcome() {
            "ok" => {
                let _now: u64 = reply.take()?;
                let mut elements = || -> Result<Vec<IssueRef>, StoreError> {
                    Ok(reply
                        .take::<Vec<String>>()?
                        .iter()
                        .filter_map(|e| IssueRef::parse(e))
                        .collect())
                };
                let (lost, cancelled, unleased) = (elements()?, elements()?, elements()?);
                Ok(Beat {
                    lost,
                    cancelled,
                    unleased,
                    is_registered: reply.take::<u8>()? == 1,
                })
            }
            _ => Err(reply.unknown()),
        }
    }

    /// Makes the names of a worker's scripts and axes known to whoever checks whether an orbit can run, for
    /// as long as the worker lives. Registers it, so that they are forgotten with it.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn register_scripts(
        &self,
        worker: &WorkerId,
        steps: &[String],
        axes: &[String],
    ) -> Result<(), StoreError> {
        let axes = axes.iter().map(|axis| format!("{AXIS}{axis}"));
        let names: Vec<String> = steps.iter().cloned().chain(axes).collect();
        let now = self.server_ms().await?;
        let mut register = redis::pipe();
        register
            .cmd("HSET")
            .arg(self.keys.worker_scripts())
            .arg(worker.as_str())
            .arg(names.join("\n"));
        register
            .cmd("ZADD")
            .arg(self.keys.workers())
            .arg(now)
            .arg(worker.as_str());
        let _: (u32, u32) = self.link.pipeline("register scripts", &register).await?;
        Ok(())
    }

    /// The scripts and axes that there are: the bundled ones and those of the workers that live.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn known_scripts(&self) -> Result<KnownScripts, StoreError> {
        let mut read = redis::pipe();
        read.cmd("HGETALL").arg(self.keys.worker_scripts());
        read.cmd("ZRANGE").arg(self.keys.workers()).arg(0).arg(-1);
        read.arg("WITHSCORES");
        read.cmd("TIME");
        type Row = (HashMap<String, String>, HashMap<String, f64>, (u64, u64));
        let (scripts, seen, (secs, micros)): Row = self.link.pipeline("scripts", &read).await?;
        let now = secs * 1000 + micros / 1000;
        let lives = |worker: &str| {
            let seen = seen.get(worker).copied().map(score_ms);
            seen.is_some_and(|seen| seen.saturating_add(GONE_MS) >= now)
        };
        let names = scripts
            .iter()
            .filter(|(worker, _)| lives(worker))
            .flat_map(|(_, names)| names.lines().map(str::to_owned));
        Ok(KnownScripts(names.collect()))
    }

    /// Takes a worker that ends in order off the list. Its processing list must be empty.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away; it is then forgotten in an hour.
    pub async fn forget_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("ZREM")
            .arg(self.keys.workers())
            .arg(worker.as_str());
        pipeline
            .cmd("HDEL")
            .arg(self.keys.worker_load())
            .arg(worker.as_str());
        pipeline
            .cmd("HDEL")
            .arg(self.keys.worker_scripts())
            .arg(worker.as_str());
        let _: (u32, u32, u32) = self.link.pipeline("forget worker", &pipeline).await?;
        Ok(())
    }

    /// Every worker that is registered, the dead of the last hour among them.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub(super) async fn registered_workers(&self) -> Result<Vec<String>, StoreError> {
        let range = cmd("ZRANGE")
            .arg(self.keys.workers())
            .arg(0)
            .arg(-1)
            .to_owned();
        self.link.command("workers", &range).await
    }

    /// Workers that were not heard of for `silent_ms`.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn silent_workers(&self, silent_ms: u64) -> Result<Vec<WorkerId>, StoreError> {
        let before = self.server_ms().await?.saturating_sub(silent_ms);
        let range = cmd("ZRANGEBYSCORE")
            .arg(self.keys.workers())
            .arg("-inf")
            .arg(before)
            .to_owned();
        let names: Vec<String> = self.link.command("silent workers", &range).await?;
        Ok(names
            .iter()
            .filter_map(|n| WorkerId::parse(n).ok())
            .collect())
    }

    /// Forgets workers that were silent for an hour and left nothing.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn forget_old_workers(&self) -> Result<(), StoreError> {
        for worker in self.silent_workers(REMEMBERED_MS).await? {
            if self.processing(worker.as_str()).await?.is_empty() {
                self.forget_worker(&worker).await?;
            }
        }
        Ok(())
    }

    /// What lies in a worker's processing list.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn processing(&self, worker: &str) -> Result<Vec<IssueRef>, StoreError> {
        let range = cmd("LRANGE")
            .arg(self.keys.processing(worker))
            .arg(0)
            .arg(-1)
            .to_owned();
        let elements: Vec<String> = self.link.command("processing", &range).await?;
        Ok(elements.iter().filter_map(|e| IssueRef::parse(e)).collect())
    }

    /// Whether some worker has a lease of this issue, run out or not.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn has_lease(&self, issue: &IssueRef) -> Result<bool, StoreError> {
        let score = cmd("ZSCORE")
            .arg(self.keys.leases())
            .arg(issue.element())
            .to_owned();
        let ends_at: Option<f64> = self.link.command("lease", &score).await?;
        Ok(ends_at.is_some())
    }

    /// Up to `n` leases that have run out.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn expired_leases(&self, n: usize) -> Result<Vec<IssueRef>, StoreError> {
        self.due(self.keys.leases(), n).await
    }

    /// Up to `n` delayed issues whose time has come.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn due_issues(&self, n: usize) -> Result<Vec<IssueRef>, StoreError> {
        self.due(self.keys.delayed(), n).await
    }

    async fn due(&self, index: String, n: usize) -> Result<Vec<IssueRef>, StoreError> {
        let now = self.server_ms().await?;
        let range = cmd("ZRANGEBYSCORE")
            .arg(index)
            .arg("-inf")
            .arg(now)
            .arg("LIMIT")
            .arg(0)
            .arg(n)
            .to_owned();
        let elements: Vec<String> = self.link.command("due", &range).await?;
        Ok(elements.iter().filter_map(|e| IssueRef::parse(e)).collect())
    }

    /// Kills a connection whose state is unknown, so that nothing it still carries is executed later.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn kill_connection(&self, id: &ConnectionId) -> Result<(), StoreError> {
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(id.number);
        kill.arg("ADDR").arg(&id.address);
        let _: u64 = self.link.command("client kill", &kill).await?;
        Ok(())
    }

    /// Ends the blocking pop of a connection as if its time were up. Nothing is lost: what it popped
    /// before that, it still answers.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or does not permit it.
    pub async fn unblock_connection(&self, id: &ConnectionId) -> Result<(), StoreError> {
        let _: u64 = self
            .link
            .command(
                "client unblock",
                cmd("CLIENT").arg("UNBLOCK").arg(id.number),
            )
            .await?;
        Ok(())
    }

    pub(super) async fn server_ms(&self) -> Result<u64, StoreError> {
        let (secs, micros): (u64, u64) = self.link.command("time", &cmd("TIME")).await?;
        Ok(secs * 1000 + micros / 1000)
    }
}
