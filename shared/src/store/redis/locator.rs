//! Finds the node to connect to: the single server, the master that Sentinels name, or the master
//! of the shard's slot in a Redis Cluster.
//!
//! All keys of a shard are in one slot, so a shard needs one node. The same holds for blocking
//! pops, subscriptions and `CLIENT KILL`. A client that hides the cluster could not send those to a
//! specific node. This module finds the node again when it changes:
//!
//! * **Single server**: the address of the URL.
//! * **Sentinels**: each new connection asks them. A master counts only if it confirms its role
//!   itself.
//! * **Cluster**: `CLUSTER SLOTS` of any reachable node. It is read again when a node reports a
//!   moved slot or is unreachable. A redirection opens a new connection; calls are not redirected
//!   one by one. During the migration of a slot, Redis rejects scripts with several keys
//!   (`TRYAGAIN`), and their callers wait for its end.

use std::sync::Mutex;
use std::time::Duration;

use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisError, TlsMode, Value,
};
use tokio::time::timeout;

use crate::config::redis_url::Place;
use crate::store::redis::error::StoreError;

/// The maximum time for a response of one node, or of all Sentinels.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Finds the node of one shard.
pub(crate) struct Locator {
    /// The connection options without the address.
    node: ConnectionInfo,
    way: Way,
}

enum Way {
    Nodes { slot: u16, nodes: Mutex<Nodes> },
    Sentinels(Box<Sentinels>),
}

/// The Sentinels to ask for the master.
struct Sentinels {
    master: String,
    settings: SentinelNodeConnectionInfo,
    asked: tokio::sync::Mutex<Sentinel>,
}

/// The known nodes of a cluster, or the single server.
struct Nodes {
    /// All nodes to ask. The node that failed last is at the end.
    known: Vec<ConnectionAddr>,
    /// The last known node of the slot.
    current: Option<ConnectionAddr>,
}

impl Locator {
    pub(crate) fn open(url: &str, slot: u16) -> Result<Locator, StoreError> {
        // Scripts are small and latency matters, so Nagle's algorithm is off.
        let prompt = |info: ConnectionInfo| {
            let tcp = info.tcp_settings().clone().set_nodelay(true);
            info.set_tcp_settings(tcp)
        };
        match Place::parse(url).map_err(StoreError::Url)? {
            Place::Nodes(nodes) => {
                let known: Vec<ConnectionAddr> = nodes.iter().map(|n| n.addr().clone()).collect();
                // A single server needs no search. A node of a cluster redirects if it is the wrong
                // one.
                let current = (known.len() == 1).then(|| known[0].clone());
                Ok(Locator {
                    node: prompt(nodes[0].clone()),
                    way: Way::Nodes {
                        slot,
                        nodes: Mutex::new(Nodes { known, current }),
                    },
                })
            }
            Place::Sentinels {
                sentinels,
                master,
                node,
            } => {
                let node = prompt(*node);
                let mut settings = SentinelNodeConnectionInfo::default()
                    .set_redis_connection_info(node.redis_settings().clone())
                    .set_tcp_settings(node.tcp_settings().clone());
                if matches!(node.addr(), ConnectionAddr::TcpTls { .. }) {
                    settings = settings.set_tls_mode(TlsMode::Secure);
                }
                let sentinels = Sentinel::build(sentinels).map_err(StoreError::Url)?;
                Ok(Locator {
                    node,
                    way: Way::Sentinels(Box::new(Sentinels {
                        master,
                        settings,
                        asked: tokio::sync::Mutex::new(sentinels),
                    })),
                })
            }
        }
    }

    /// Returns the user of the URL, or Redis's default user.
    pub(crate) fn user(&self) -> &str {
        self.node.redis_settings().username().unwrap_or("default")
    }

    /// Returns a client for the most likely node of the shard, without asking that node.
    pub(crate) async fn find(&self) -> Result<Client, RedisError> {
        match &self.way {
            Way::Nodes { slot, nodes } => {
                let (current, known) = {
                    let nodes = nodes.lock().expect("no holder of this lock panics");
                    (nodes.current.clone(), nodes.known.clone())
                };
                let address = match current {
                    Some(address) => address,
                    None => self.search(*slot, nodes, known).await?,
                };
                Client::open(self.node.clone().set_addr(address))
            }
            Way::Sentinels(sentinels) => {
                let mut asked = sentinels.asked.lock().await;
                let asking = asked.async_master_for(&sentinels.master, Some(&sentinels.settings));
                timeout(ANSWER_WITHIN, asking)
                    .await
                    .unwrap_or_else(|_| Err(no_answer("no Sentinel answered")))
            }
        }
    }

    /// Records an error of a call or of a connection attempt. Returns true if the connection is
    /// unusable and the node must be searched again.
    pub(crate) fn note_redirect(&self, error: &RedisError) -> bool {
        let says_so = matches!(
            error.code(),
            Some("MOVED" | "ASK" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN")
        );
        if !says_so && !crate::store::redis::error::is_broken(error) {
            return false;
        }
        if let Way::Nodes { nodes, .. } = &self.way {
            let mut nodes = nodes.lock().expect("no holder of this lock panics");
            if let Some(to) = moved_to(error, nodes.current.as_ref()) {
                let to = self.with_tls(to);
                nodes.known.retain(|address| *address != to);
                nodes.known.insert(0, to);
            }
        }
        self.look_elsewhere();
        true
    }

    /// Forces a new search for the node, if there are several.
    pub(crate) fn look_elsewhere(&self) {
        if let Way::Nodes { nodes, .. } = &self.way {
            let mut nodes = nodes.lock().expect("no holder of this lock panics");
            if nodes.known.len() > 1
                && let Some(left) = nodes.current.take()
            {
                nodes.known.retain(|address| *address != left);
                nodes.known.push(left);
            }
        }
    }

    /// Asks the nodes one after the other for the owner of the slot.
    async fn search(
        &self,
        slot: u16,
        nodes: &Mutex<Nodes>,
        known: Vec<ConnectionAddr>,
    ) -> Result<ConnectionAddr, RedisError> {
        let mut last_error = no_answer("no node of the cluster is known");
        for asked in known {
            match self.ask(&asked).await {
                Ok(ranges) => {
                    let all = ranges.iter().flat_map(|range| &range.nodes);
                    let mut learned: Vec<ConnectionAddr> = all
                        .map(|node| self.with_tls(at_host(node, &asked)))
                        .collect();
                    let owner = ranges.iter().find(|r| (r.first..=r.last).contains(&slot));
                    let Some(owner) = owner.and_then(|range| range.nodes.first()) else {
                        last_error = no_answer("no node of the cluster has the slot of this shard");
                        continue;
                    };
                    let owner = self.with_tls(at_host(owner, &asked));
                    let mut nodes = nodes.lock().expect("no holder of this lock panics");
                    learned.append(&mut nodes.known);
                    for address in learned {
                        if !nodes.known.contains(&address) {
                            nodes.known.push(address);
                        }
                    }
                    nodes.current = Some(owner.clone());
                    return Ok(owner);
                }
                // The node answers but is not a cluster, or hides it. It is then the right node.
                Err(error)
                    if error.code().is_some() && !crate::store::redis::error::is_broken(&error) =>
                {
                    let mut nodes = nodes.lock().expect("no holder of this lock panics");
                    nodes.current = Some(asked.clone());
                    return Ok(asked);
                }
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    async fn ask(&self, address: &ConnectionAddr) -> Result<Vec<SlotRange>, RedisError> {
        let client = Client::open(self.node.clone().set_addr(address.clone()))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let answer: Value = redis::cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(&mut connection)
            .await?;
        Ok(slot_ranges(answer))
    }

    /// Applies the TLS settings of the URL to the address.
    fn with_tls(&self, address: ConnectionAddr) -> ConnectionAddr {
        match (self.node.addr(), address) {
            (
                ConnectionAddr::TcpTls {
                    insecure,
                    tls_params,
                    ..
                },
                ConnectionAddr::Tcp(host, port),
            ) => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            (_, address) => address,
        }
    }
}

fn no_answer(why: &'static str) -> RedisError {
    (redis::ErrorKind::Io, why).into()
}

/// A range of slots and its nodes, the master first.
struct SlotRange {
    first: u16,
    last: u16,
    nodes: Vec<(String, u16)>,
}

/// Parses the reply of `CLUSTER SLOTS`: first, last, then host, port and more for each node. Skips
/// unreadable entries.
fn slot_ranges(answer: Value) -> Vec<SlotRange> {
    fn list(value: Value) -> Vec<Value> {
        match value {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }
    let range = |row: Value| {
        let mut row = list(row).into_iter();
        let mut slot = || redis::from_redis_value::<u16>(row.next()?).ok();
        let (first, last) = (slot()?, slot()?);
        let node = |node: Value| {
            let mut node = list(node).into_iter();
            // Without a host, it is the host of the asked node.
            let host: Option<String> = redis::from_redis_value(node.next()?).ok()?;
            let port = redis::from_redis_value(node.next()?).ok()?;
            Some((host.unwrap_or_default(), port))
        };
        let nodes = row.filter_map(node).collect();
        Some(SlotRange { first, last, nodes })
    };
    list(answer).into_iter().filter_map(range).collect()
}

/// Returns the target of a `MOVED` error; `asked` is the node that returned it.
fn moved_to(error: &RedisError, asked: Option<&ConnectionAddr>) -> Option<ConnectionAddr> {
    let (address, _slot) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let node = (host.to_owned(), port.parse().ok()?);
    match asked {
        Some(asked) => Some(at_host(&node, asked)),
        None => (!host.is_empty()).then_some(ConnectionAddr::Tcp(node.0, node.1)),
    }
}

/// Returns the address of a node. Without a host, it uses the host of `asked`.
fn at_host((host, port): &(String, u16), asked: &ConnectionAddr) -> ConnectionAddr {
    let host = match asked {
        _ if !host.is_empty() => host.clone(),
        ConnectionAddr::Tcp(asked, _) | ConnectionAddr::TcpTls { host: asked, .. } => asked.clone(),
        _ => "localhost".to_owned(),
    };
    ConnectionAddr::Tcp(host, *port)
}
