//! A TCP proxy between a program and its Redis that can make a named call go wrong.
//!
//! A connection that breaks tells the caller nothing of whether its call was carried out. This
//! proxy makes it break on purpose at exactly one side of exactly one call: before the server has
//! seen it, or after it has answered. It reads RESP in both directions, so it pairs the n-th reply
//! with the n-th command of a connection, and knows the scripts by their names. Connections that
//! subscribe are passed through unpaired, since their replies come unasked.
//!
//! Further: all traffic can be held (a partition, without any connection being closed), new
//! connections refused, present ones closed.

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

/// The running proxy. Everything that it does ends when it is dropped.
#[derive(Debug)]
pub struct RespProxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// What the proxy and its connections share.
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
    /// A proxy on a free port of the loopback interface, before the server on `upstream_port`.
    ///
    /// # Panics
    /// If there is no free port.
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

    /// Orders `fault` for the `n`-th call of `name` from now, counted from 1. The name is that of a
    /// script (`settle_issue`), or a verb (`BRPOPLPUSH`, `CLIENT KILL`).
    ///
    /// # Panics
    /// If `n` is 0, or the fault is one of the answer and the name is that of a subscription.
    pub fn order(&self, fault: Fault, name: &str, n: u64) -> Ordered {
        let of_the_answer = !matches!(fault, Fault::CutBefore | Fault::StallBefore);
        assert!(
            !(of_the_answer && names::is_subscription(name)),
            "the answers to {name} cannot be told apart"
        );
        self.shared.faults.order(fault, name, n)
    }

    /// The `n`-th call of `name` from now does not reach the server; its connection is closed.
    pub fn cut_before(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::CutBefore, name, n)
    }

    /// The server carries the `n`-th call of `name` from now out; its connection is closed instead
    /// of the answer.
    pub fn cut_after(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::CutAfter, name, n)
    }

    /// The server carries the `n`-th call of `name` from now out; neither its answer nor any later
    /// one comes back on that connection, which stays open.
    pub fn silence_after(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::SilenceAfter, name, n)
    }

    /// The server gets the `n`-th call of `name` from now twice, as it would a delayed duplicate;
    /// the client sees the first answer.
    pub fn double(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::Double, name, n)
    }

    /// With the `n`-th call of `name` from now a stall begins. That call reaches the server when it
    /// ends.
    pub fn stall_before(&self, name: &str, n: u64) -> Ordered {
        self.order(Fault::StallBefore, name, n)
    }

    /// Drops every order that has not come to its call.
    pub fn forget_orders(&self) {
        self.shared.faults.forget();
    }

    /// While true, what either side sends is held, and that a side closes too: a partition. New
    /// connections are taken and get no answer.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.send_replace(stalled);
    }

    /// While true, new connections are closed at once.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::Relaxed);
    }

    /// Closes all present connections.
    pub fn drop_all(&self) {
        self.shared.dropped.send_replace(());
    }

    /// New connections go to the server on this port.
    pub fn set_upstream(&self, port: u16) {
        self.shared.upstream.store(port, Ordering::Relaxed);
    }

    /// How often each fault has happened, by kind and name.
    pub fn fired(&self) -> BTreeMap<(Fault, String), u64> {
        self.shared.faults.fired()
    }

    /// How often `name` was called, calls that were cut among them; the vain EVALSHA of a script
    /// that the server does not have yet is none.
    pub fn calls(&self, name: &str) -> u64 {
        self.shared.faults.calls(name)
    }

    /// What the server answered to each call of the script `name`, in order, whether or not the
    /// client got it: the named outcome, or the error line.
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
    // Dropped with this task, and every connection with it.
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
            // No server there: the client sees its connection closed, and tries again.
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
