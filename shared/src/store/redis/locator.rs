//! Finds the node to connect to: the one server that there is, the master that Sentinels name, or
//! the master of the shard's slot in a Redis Cluster.
//!
//! All keys of a shard lie in one slot, so whoever works on a shard needs one node, and the same is
//! true of blocking pops, subscriptions and `CLIENT KILL`, which a client that hides the
//! cluster could not aim. What is left is to find that node again when it changes:
//!
//! * **One server** is where the URL says it is.
//! * **Sentinels** are asked at each new connection; they name only a master that says itself that it is one.
//! * **A cluster** is asked at any of its nodes that answers (`CLUSTER SLOTS`), and again whenever a node says that
//!   the slot has moved, or cannot be reached. Redirections are not followed call by call: each
//!   leads to a new connection, of which there are few. While a slot is on its way from one node to
//!   another, scripts with several keys are refused (`TRYAGAIN`) and the callers wait, until it has arrived.

use std::sync::Mutex;
use std::time::Duration;

use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisError, TlsMode, Value,
};
use tokio::time::timeout;

use crate::config::redis_url::Place;
use crate::store::redis::error::StoreError;

/// How long one node, or all Sentinels, may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Knows where to find the node of one shard.
pub(crate) struct Locator {
    /// How to connect, whatever the address.
    node: ConnectionInfo,
    way: Way,
}

enum Way {
    Nodes { slot: u16, nodes: Mutex<Nodes> },
    Sentinels(Box<Sentinels>),
}

/// Who is asked for the master.
struct Sentinels {
    master: String,
    settings: SentinelNodeConnectionInfo,
    asked: tokio::sync::Mutex<Sentinel>,
}

/// What is known of a cluster, or of the one server.
struct Nodes {
    /// All that may be asked; the one that failed last comes last.
    known: Vec<ConnectionAddr>,
    /// The one that has the slot, as far as is known.
    current: Option<ConnectionAddr>,
}

impl Locator {
    pub(crate) fn open(url: &str, slot: u16) -> Result<Locator, StoreError> {
        // Scripts are small and somebody waits for each: Nagle's algorithm would hold them back.
        let prompt = |info: ConnectionInfo| {
            let tcp = info.tcp_settings().clone().set_nodelay(true);
            info.set_tcp_settings(tcp)
        };
        match Place::parse(url).map_err(StoreError::Url)? {
            Place::Nodes(nodes) => {
                let known: Vec<ConnectionAddr> = nodes.iter().map(|n| n.addr().clone()).collect();
                // One server need not be asked whether it is the right one; a node of a cluster says so if it is not.
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

    /// The user that the URL names; Redis's own name for who names none.
    pub(crate) fn user(&self) -> &str {
        self.node.redis_settings().username().unwrap_or("default")
    }

    /// A client of the node that has the shard, as far as can be known without asking it.
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

    /// Takes note of an error of a call or of a connection attempt. True if the connection is to be given up
    /// and the node to be looked for anew.
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

    /// Has the node looked for anew, if there is a choice.
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

    /// Asks the nodes, one after the other, who has the slot.
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
                // It answers, and is no cluster, or does not tell: then it is the one.
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

    /// The address in the way in which the URL says that nodes are reached.
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

/// Slots and who has them: the master first.
struct SlotRange {
    first: u16,
    last: u16,
    nodes: Vec<(String, u16)>,
}

/// Reads the answer of `CLUSTER SLOTS`: first, last, then for each node its host, port and more. What cannot be read is left out.
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
            // Without a host, it is the one that was asked.
            let host: Option<String> = redis::from_redis_value(node.next()?).ok()?;
            let port = redis::from_redis_value(node.next()?).ok()?;
            Some((host.unwrap_or_default(), port))
        };
        let nodes = row.filter_map(node).collect();
        Some(SlotRange { first, last, nodes })
    };
    list(answer).into_iter().filter_map(range).collect()
}

/// Where a `MOVED` points; `asked` is the node that said so.
fn moved_to(error: &RedisError, asked: Option<&ConnectionAddr>) -> Option<ConnectionAddr> {
    let (address, _slot) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let node = (host.to_owned(), port.parse().ok()?);
    match asked {
        Some(asked) => Some(at_host(&node, asked)),
        None => (!host.is_empty()).then_some(ConnectionAddr::Tcp(node.0, node.1)),
    }
}

/// The address of a node; one that names no host is on that of `asked`.
fn at_host((host, port): &(String, u16), asked: &ConnectionAddr) -> ConnectionAddr {
    let host = match asked {
        _ if !host.is_empty() => host.clone(),
        ConnectionAddr::Tcp(asked, _) | ConnectionAddr::TcpTls { host: asked, .. } => asked.clone(),
        _ => "localhost".to_owned(),
    };
    ConnectionAddr::Tcp(host, *port)
}
