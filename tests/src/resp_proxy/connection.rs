//! One connection: forwards commands and replies, and applies faults.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::resp_proxy::faults::{Fault, Plan};
use crate::resp_proxy::{Shared, frame, names};

/// The size of one read from a socket. Larger frames are assembled.
const CHUNK: usize = 64 * 1024;

/// The handling of the next reply.
enum Awaited {
    /// The reply goes to the client.
    Answer { name: String },
    /// The reply is dropped. The plan decides what follows.
    Held { name: String, plan: Plan },
}

/// The expected replies, in order. `None`: replies can no longer be paired with commands.
struct Replies(Mutex<Option<VecDeque<Awaited>>>);

impl Replies {
    fn inside(&self) -> MutexGuard<'_, Option<VecDeque<Awaited>>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    fn expect(&self, awaited: Awaited) {
        if let Some(queue) = self.inside().as_mut() {
            queue.push_back(awaited);
        }
    }
}

/// Forwards a connection until either side closes it, or a fault does.
pub(super) async fn carry(client: TcpStream, server: TcpStream, shared: &Shared) {
    for socket in [&client, &server] {
        // Avoids delays of small commands. An error does not affect correctness.
        let _best_effort = socket.set_nodelay(true);
    }
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let replies = Replies(Mutex::new(Some(VecDeque::new())));
    tokio::select! {
        () = carry_up(client_reads, server_writes, shared, &replies) => {}
        () = carry_down(server_reads, client_writes, shared, &replies) => {}
    }
    for awaited in replies.inside().take().into_iter().flatten() {
        if let Awaited::Held { plan, .. } = awaited {
            shared.faults.put_back(plan);
        }
    }
}

/// Forwards commands until a fault ends the connection.
async fn carry_up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    replies: &Replies,
) {
    let mut inbox = Inbox::default();
    while inbox.fill(&mut from, shared).await {
        while let Some(command) = inbox.next_frame() {
            let name = shared.names.name(&command);
            if names::is_subscription(&name) {
                *replies.inside() = None;
            }
            let plan = shared.faults.called(&name);
            let fault = plan.as_ref().map(|plan| plan.fault);
            match plan {
                Some(plan) if fault == Some(Fault::CutBefore) => {
                    shared.faults.fire(plan);
                    return;
                }
                Some(plan) if fault == Some(Fault::StallBefore) => {
                    shared.stalled.send_replace(true);
                    shared.faults.fire(plan);
                    until_not_stalled(shared).await;
                    replies.expect(Awaited::Answer { name });
                }
                Some(plan) => {
                    if fault == Some(Fault::Double) {
                        replies.expect(Awaited::Answer { name: name.clone() });
                    }
                    replies.expect(Awaited::Held { name, plan });
                }
                None => replies.expect(Awaited::Answer { name }),
            }
            let n_times = if fault == Some(Fault::Double) { 2 } else { 1 };
            for _ in 0..n_times {
                if to.write_all(&command).await.is_err() {
                    return;
                }
            }
        }
    }
    // The client sends no more data; the server receives the end after all data, and closes.
    let _gone = to.shutdown().await;
    pending().await
}

/// Forwards replies until the server closes or a fault ends the connection.
async fn carry_down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    replies: &Replies,
) {
    let mut inbox = Inbox::default();
    while inbox.fill(&mut from, shared).await {
        while let Some(reply) = inbox.next_frame() {
            let awaited = match replies.inside().as_mut() {
                Some(queue) if !frame::is_push(&reply) => queue.pop_front(),
                _ => None,
            };
            match awaited {
                None => {}
                Some(Awaited::Answer { name }) => note(shared, &name, &reply),
                Some(Awaited::Held { name, plan }) => {
                    let (fault, in_vain) = (plan.fault, frame::is_noscript(&reply));
                    // The two copies of a doubled call fail together and count as one.
                    if !(in_vain && fault == Fault::Double) {
                        note(shared, &name, &reply);
                    }
                    if in_vain {
                        shared.faults.put_back(plan);
                    } else {
                        shared.faults.fire(plan);
                    }
                    match fault {
                        Fault::Double => continue,
                        _ if in_vain => {}
                        Fault::SilenceAfter => pending().await,
                        _ => return,
                    }
                }
            }
            if to.write_all(&reply).await.is_err() {
                return;
            }
        }
    }
}

/// Records the outcome of a script.
fn note(shared: &Shared, name: &str, reply: &[u8]) {
    if !shared.names.is_script(name) {
        return;
    }
    if frame::is_noscript(reply) {
        shared.faults.uncalled(name);
        return;
    }
    let outcome = frame::first_texts(reply, 1).first().copied();
    let outcome = outcome.unwrap_or_else(|| reply.trim_ascii_end());
    shared
        .faults
        .answered(name, String::from_utf8_lossy(outcome).into_owned());
}

/// Received bytes that are not forwarded yet.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbox {
    /// Adds data from the socket once no hold is active. Returns false at the end of the stream.
    async fn fill(&mut self, from: &mut OwnedReadHalf, shared: &Shared) -> bool {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.reserve(CHUNK);
        let read = from.read_buf(&mut self.bytes).await;
        until_not_stalled(shared).await;
        // A reset connection has no more data either.
        read.is_ok_and(|n| n > 0)
    }

    /// The next complete frame.
    ///
    /// # Panics
    /// If the bytes are not RESP. The test then sees a closed connection and this message.
    fn next_frame(&mut self) -> Option<Vec<u8>> {
        let rest = &self.bytes[self.taken..];
        let length = frame::length(rest).unwrap_or_else(|error| panic!("{error}"))?;
        self.taken += length;
        Some(rest[..length].to_vec())
    }
}

async fn until_not_stalled(shared: &Shared) {
    let mut stalled = shared.stalled.subscribe();
    let free = stalled.wait_for(|stalled| !stalled).await;
    free.expect("the sender lives in what was borrowed");
}
