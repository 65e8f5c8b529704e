//! A TCP proxy between a program and its Redis that applies faults to named calls.
//!
//! A broken connection does not tell the caller whether its call was executed. This proxy breaks a
//! connection on one side of one call: before the server receives it, or after it has answered. It
//! parses RESP in both directions, pairs the n-th reply with the n-th command of a connection, and
//! knows the scripts by their names. Connections that subscribe are forwarded without pairing,
//! since they also receive push messages.
//!
//! The proxy can also hold all traffic (a partition, without closing connections), refuse new
//! connections, and close present ones.

pub mod frame;

mod connection;
mod faults;
mod names;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::resp_proxy::faults::Faults;
use crate::resp_proxy::names::Names;

pub use self::faults::{Fault, Ordered};

/// The running proxy. Dropping it ends all its tasks.
#[derive(Debug)]
pub struct RespProxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// State that the proxy and its connections share.
#[derive(Debug)]
struct Shared {
    names: Names,
    faults: Faults,
    upstream: AtomicU16,
    refusing: AtomicBool,
    stalled: watch::Sender<bool>,
    dropped: watch::Sender<()>,
}

impl RespProxy {
    /// Starts a proxy on a free port of the loopback interface, in front of the server on
    /// `upstream_port`.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(upstream_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let shared = Arc::new(Shared {
            names: Names::of_the_store(),
            faults: Faults::default(),
            upstream: AtomicU16::new(upstream_port),
            refusing: AtomicBool::new(false),
            stalled: watch::Sender::new(false),
            dropped: watch::Sender::new(()),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self {
            port,
            shared,
            accepting,
        }
    }

    /// The URL for `DRAFTSMAN_REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Schedules `fault` for the `n`-th call of `name` from now, counted from 1. The name is that
    /// of a script (`settle_issue`), or a verb (`BRPOPLPUSH`, `CLIENT KILL`).
    ///
    /// # Panics
    /// If `n` is 0, or the fault affects an answer and the name is that of a subscription.
    pub fn order(&self, fault: Fault, name: &str, n: u64) -> Ordered {
        let of_the_answer = !matches!(fault, Fault::CutBefore | Fault::StallBefore);
        assert!(
            !(of_the_answer && names::is_subscription(name)),
            "the answers to {name} cannot be told apart"
        );
        self.shared.faults.order(fault, name, n)
    }

    /// Closes the connection of the `n`-th call of `name` from now before the server receives the
    /// call.
    pub fn cut_before(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::CutBefore, name, n)
    }

    /// Closes the connection of the `n`-th call of `name` from now after the server has executed
    /// it, instead of the answer.
    pub fn cut_after(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::CutAfter, name, n)
    }

    /// Drops the answer of the `n`-th call of `name` from now, and every later one on that
    /// connection, which stays open. The server executes the call.
    pub fn silence_after(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::SilenceAfter, name, n)
    }

    /// Sends the `n`-th call of `name` from now twice, like a delayed duplicate. The client gets
    /// the first answer.
    pub fn double(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::Double, name, n)
    }

    /// Starts a stall with the `n`-th call of `name` from now. That call reaches the server when
    /// the stall ends.
    pub fn stall_before(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::StallBefore, name, n)
    }

    /// Removes every fault that has not reached its call.
    pub fn forget_orders(&self) {
        self.shared.faults.forget();
    }

    /// While true, holds all data, and the end of each connection: a partition. New connections are
    /// accepted and get no answer.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.send_replace(stalled);
    }

    /// While true, closes new connections at once.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::Relaxed);
    }

    /// Closes all present connections.
    pub fn drop_all(&self) {
        self.shared.dropped.send_replace(());
    }

    /// Connects new connections to the server on this port.
    pub fn set_upstream(&self, port: u16) {
        self.shared.upstream.store(port, Ordering::Relaxed);
    }

    /// The number of times that each fault has happened, by kind and name.
    pub fn fired(&self) -> BTreeMap<(Fault, String), u64> {
        self.shared.faults.fired()
    }

    /// The number of calls of `name`, including cut ones. An EVALSHA of a script that the server
    /// does not have does not count.
    pub fn calls(&self, name: &str) -> u64 {
        self.shared.faults.calls(name)
    }

    /// The result of each call of the script `name`, in order, whether or not the client received
    /// it: the outcome, or the error line.
    pub fn outcomes(&self, name: &str) -> Vec<String> {
        self.shared.faults.outcomes(name)
    }
}

impl Drop for RespProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping it with this task closes every connection.
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a bound socket accepts");
        if shared.refusing.load(Ordering::Relaxed) {
            continue;
        }
        let shared = Arc::clone(&shared);
        let mut dropped = shared.dropped.subscribe();
        connections.spawn(async move {
            let port = shared.upstream.load(Ordering::Relaxed);
            // Without a server, the client's connection is closed, and the client retries.
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                return;
            };
            tokio::select! {
                () = connection::carry(client, server, &shared) => {}
                _ = dropped.changed() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
