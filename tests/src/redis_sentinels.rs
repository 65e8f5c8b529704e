//! A private master with replicas and Sentinels that watch it, as real processes on loopback.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::eventually::eventually;
use crate::redis_server::{Aof, RedisServer, free_port};

/// The Sentinels' name of the master.
const MASTER: &str = "draftsman";

/// A master, two replicas and three Sentinels.
#[derive(Debug)]
pub struct Sentinels {
    sentinels: Vec<Sentinel>,
    nodes: Vec<RedisServer>,
}

#[derive(Debug)]
struct Sentinel {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Sentinels {
    /// Starts all of them, and waits until each Sentinel knows the other two and both replicas.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn start() -> Self {
        let prompt = ["--repl-diskless-sync-delay", "0"];
        let master = RedisServer::start_with(Aof::EverySecond, &prompt);
        let of = format!("127.0.0.1 {}", master.port());
        let mut nodes = vec![master];
        for _ in 0..2 {
            let mut args = prompt.to_vec();
            args.extend(["--replicaof", &of]);
            nodes.push(RedisServer::start_with(Aof::EverySecond, &args));
        }
        let sentinels = (0..3).map(|_| start_sentinel(nodes[0].port())).collect();
        let all = Self { sentinels, nodes };
        for sentinel in &all.sentinels {
            eventually("the Sentinels know each other", async || {
                let row = sentinel.asked("MASTER").await?;
                let known = |name: &str| row.get(name).cloned().unwrap_or_default();
                let is_known = known("num-slaves") == "2" && known("num-other-sentinels") == "2";
                is_known.then_some(()).ok_or_else(|| format!("{row:?}"))
            })
            .await;
        }
        all
    }

    /// The URL for `DRAFTSMAN_REDIS_URL`.
    pub fn url(&self) -> String {
        let hosts = self
            .sentinels
            .iter()
            .map(|s| format!("127.0.0.1:{}", s.port));
        let hosts: Vec<String> = hosts.collect();
        format!("redis+sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// The master's port according to the majority of the Sentinels.
    async fn master_port(&self) -> Result<u16, String> {
        let mut ports = Vec::new();
        for sentinel in &self.sentinels {
            let row = sentinel.asked("MASTER").await?;
            let port = row.get("port").and_then(|port| port.parse().ok());
            ports.push(port.ok_or_else(|| format!("{row:?}"))?);
        }
        ports.sort_unstable();
        Ok(ports[1])
    }

    /// A connection to the master.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn master(&self) -> redis::aio::MultiplexedConnection {
        let port = self.master_port().await.expect("the Sentinels answer");
        let node = self.nodes.iter().find(|node| node.port() == port);
        node.expect("it is one of ours").connection().await
    }

    /// Kills the master, and returns once the Sentinels have promoted another one.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn kill_master(&mut self) {
        let old = self.master_port().await.expect("the Sentinels answer");
        let node = self.nodes.iter_mut().find(|node| node.port() == old);
        node.expect("it is one of ours").kill();
        eventually("another node is the master", async || {
            match self.master_port().await? {
                port if port != old => Ok(()),
                _ => Err("it is still the old one".to_owned()),
            }
        })
        .await;
    }
}

impl Sentinel {
    /// The fields that the Sentinel reports about the master.
    async fn asked(&self, what: &str) -> Result<std::collections::HashMap<String, String>, String> {
        let ask = async {
            let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            let mut command = redis::cmd("SENTINEL");
            command.arg(what).arg(MASTER);
            command.query_async(&mut connection).await
        };
        ask.await
            .map_err(|error: redis::RedisError| error.to_string())
    }
}

fn start_sentinel(master: u16) -> Sentinel {
    let dir = tempfile::Builder::new()
        .prefix("draftsman-sentinel-")
        .tempdir()
        .expect("a temporary directory");
    let port = free_port();
    // A Sentinel stores its state in its configuration file.
    let file = dir.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nlogfile sentinel.log\n\
         sentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds {MASTER} 1000\n\
         sentinel failover-timeout {MASTER} 5000\n",
        dir.path().display()
    );
    std::fs::write(&file, text).expect("a file in a fresh directory");
    let child = Command::new("redis-server")
        .arg(&file)
        .arg("--sentinel")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server runs");
    Sentinel {
        child,
        port,
        _dir: dir,
    }
}
