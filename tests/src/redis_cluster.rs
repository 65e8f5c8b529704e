//! A private Redis Cluster: masters, each with a replica, as real processes on loopback.

use crate::eventually::eventually;
use crate::redis_server::{Aof, RedisServer};

/// The time in milliseconds after which the other nodes replace a node. Short, because tests wait
/// for it.
const NODE_TIMEOUT_MS: &str = "1000";
/// The number of hash slots of a cluster.
const N_SLOTS: usize = 16_384;

/// A running cluster. At first, node `n` is a master and node `n_masters + n` its replica.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    n_masters: usize,
}

impl RedisCluster {
    /// Starts a cluster of `n_masters` masters with one replica each, and waits until it is ready.
    ///
    /// # Panics
    /// If it is not ready within the wait limit.
    pub async fn start(n_masters: usize) -> Self {
        let args = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            NODE_TIMEOUT_MS,
            // Allows a replica to take over although its data is old.
            "--cluster-replica-validity-factor",
            "0",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let nodes: Vec<_> = (0..2 * n_masters)
            .map(|_| RedisServer::start_with(Aof::EverySecond, &args))
            .collect();
        let cluster = Self { nodes, n_masters };
        for (n, node) in cluster.nodes[..n_masters].iter().enumerate() {
            let (first, past) = (n * N_SLOTS / n_masters, (n + 1) * N_SLOTS / n_masters);
            let last = past - 1;
            cluster
                .command(node, &format!("ADDSLOTSRANGE {first} {last}"))
                .await;
        }
        // The bus port is the port plus 10,000.
        let first = cluster.nodes[0].port();
        for node in &cluster.nodes[1..] {
            cluster
                .command(node, &format!("MEET 127.0.0.1 {first}"))
                .await;
        }
        for (n, replica) in cluster.nodes[n_masters..].iter().enumerate() {
            let master: String = cluster.asked(&cluster.nodes[n], "MYID").await;
            eventually("a node follows its master", async || {
                let mut command = redis::cmd("CLUSTER");
                command.arg("REPLICATE").arg(&master);
                let mut connection = replica.connection().await;
                let done: redis::RedisResult<String> = command.query_async(&mut connection).await;
                done.map_err(|error| error.to_string())
            })
            .await;
        }
        for node in &cluster.nodes {
            eventually("the cluster is whole", async || {
                let info: String = cluster.asked(node, "INFO").await;
                let slots: Vec<redis::Value> = cluster.asked(node, "SLOTS").await;
                let links = cluster.replicas_are_linked().await;
                let is_whole =
                    info.contains("cluster_state:ok") && slots.len() == n_masters && links;
                is_whole.then_some(()).ok_or(info)
            })
            .await;
        }
        cluster
    }

    async fn replicas_are_linked(&self) -> bool {
        for replica in &self.nodes[self.n_masters..] {
            let info: String = redis::cmd("INFO")
                .arg("replication")
                .query_async(&mut replica.connection().await)
                .await
                .expect("INFO");
            if !info.contains("master_link_status:up") {
                return false;
            }
        }
        true
    }

    async fn command(&self, node: &RedisServer, words: &str) {
        let _: String = self.asked(node, words).await;
    }

    /// The reply of a node to a `CLUSTER` command.
    async fn asked<T: redis::FromRedisValue>(&self, node: &RedisServer, words: &str) -> T {
        let mut command = redis::cmd("CLUSTER");
        for word in words.split(' ') {
            command.arg(word);
        }
        let answer = command.query_async(&mut node.connection().await).await;
        answer.unwrap_or_else(|error| panic!("CLUSTER {words}: {error}"))
    }

    /// The URL for `DRAFTSMAN_REDIS_URL`, with all nodes.
    pub fn url(&self) -> String {
        let hosts = self.nodes.iter().map(|n| format!("127.0.0.1:{}", n.port()));
        format!("redis://{}", hosts.collect::<Vec<_>>().join(","))
    }

    /// The nodes.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// Kills the master with this number, and returns once its replica has taken over.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn kill_master(&mut self, n: usize) {
        self.nodes[n].kill();
        let replica = &self.nodes[self.n_masters + n];
        eventually("the replica takes over", async || {
            let info: String = self.asked(replica, "NODES").await;
            let is_master = info.lines().any(|line| line.contains("myself,master"));
            is_master.then_some(()).ok_or(info)
        })
        .await;
    }

    /// Restarts a killed node as a replica of the new master.
    ///
    /// # Panics
    /// If the node does not start.
    pub fn start_again(&mut self, n: usize) {
        self.nodes[n].start_again();
    }

    /// Makes the replica of a master take over gracefully, without data loss.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn fail_over(&self, n: usize) {
        let replica = &self.nodes[self.n_masters + n];
        self.command(replica, "FAILOVER").await;
        eventually("the replica takes over", async || {
            let info: String = self.asked(replica, "NODES").await;
            let is_master = info.lines().any(|line| line.contains("myself,master"));
            is_master.then_some(()).ok_or(info)
        })
        .await;
    }

    /// A connection to each present master.
    ///
    /// # Panics
    /// If a running node does not answer.
    pub async fn masters(&self) -> Vec<redis::aio::MultiplexedConnection> {
        let mut masters = Vec::new();
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let mut connection = node.connection().await;
            let role: Vec<redis::Value> = redis::cmd("ROLE")
                .query_async(&mut connection)
                .await
                .expect("ROLE");
            let role: String = redis::from_redis_value(role[0].clone()).expect("a role is text");
            if role == "master" {
                masters.push(connection);
            }
        }
        masters
    }

    /// The number of keys of each master.
    ///
    /// # Panics
    /// If a master does not answer.
    pub async fn n_keys(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for mut master in self.masters().await {
            let count = redis::cmd("DBSIZE").query_async(&mut master).await;
            counts.push(count.expect("DBSIZE"));
        }
        counts
    }
}
