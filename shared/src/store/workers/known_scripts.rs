//! The scripts of the running workers.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::blueprint::orbit::scripts;
use crate::domain::bundled::BUNDLED_AXES;
use crate::ids::WorkerId;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::workers::registry::GONE_MS;
use crate::whole_ms::score_ms;

/// The prefix of axes among the scripts, as in their path. The name of a step's script has no
/// slash.
const AXIS: &str = "verifiers/";

/// The scripts and axes that orbits and settings can name.
#[derive(Debug, Clone)]
pub struct KnownScripts(HashSet<String>);

impl KnownScripts {
    /// Returns true if an agent of kind `lua` can name this script.
    pub fn has_step(&self, name: &str) -> bool {
        scripts::is_bundled(name) || (!name.starts_with(AXIS) && self.is_registered(name))
    }

    /// Returns true if this axis has a script.
    pub fn has_axis(&self, name: &str) -> bool {
        BUNDLED_AXES.iter().any(|axis| scripts::is_same(axis, name))
            || self.is_registered(&format!("{AXIS}{name}"))
    }

    pub(crate) fn is_registered(&self, name: &str) -> bool {
        self.0.iter().any(|known| scripts::is_same(known, name))
    }

    /// Returns the available axes, sorted.
    pub fn axes(&self) -> Vec<&str> {
        let registered = self.0.iter().filter_map(|name| name.strip_prefix(AXIS));
        let all: BTreeSet<&str> = registered.chain(BUNDLED_AXES).collect();
        all.into_iter().collect()
    }
}

impl Shard {
    /// Registers the version of a worker, and the names of its scripts and axes for the checks of
    /// orbits. They are removed together with the worker.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
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
        // All programs have the version of the workspace.
        register
            .cmd("HSET")
            .arg(self.keys.worker_versions())
            .arg(worker.as_str())
            .arg(env!("CARGO_PKG_VERSION"));
        register
            .cmd("ZADD")
            .arg(self.keys.workers())
            .arg(now)
            .arg(worker.as_str());
        let _: (u32, u32, u32) = self.handle.pipeline("register scripts", &register).await?;
        Ok(())
    }

    /// Returns the available scripts and axes: the bundled ones and those of running workers.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn known_scripts(&self) -> Result<KnownScripts, StoreError> {
        let mut read = redis::pipe();
        read.cmd("HGETALL").arg(self.keys.worker_scripts());
        read.cmd("ZRANGE").arg(self.keys.workers()).arg(0).arg(-1);
        read.arg("WITHSCORES");
        read.cmd("TIME");
        type Row = (HashMap<String, String>, HashMap<String, f64>, (u64, u64));
        let (scripts, seen, (secs, micros)): Row = self.handle.pipeline("scripts", &read).await?;
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
}
