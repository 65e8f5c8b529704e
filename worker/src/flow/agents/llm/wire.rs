//! The wire to a provider, with a bound on what may come over it.
//!
//! `genai` keeps a line of a stream until it ends, and the body of a refusal until that ends, however long
//! they get; neither it nor the HTTP client below it can be told of a limit, and while bytes come it does not
//! even return to whoever would stop it. So the HTTP client connects to a socket of this process, which is
//! joined to the provider here, byte for byte: TLS is spoken through it, end to end. Each thing that arrives
//! whole sets the count back to nothing; more than [`MAX_UNHEARD_BYTES`] without one cuts the wire.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::client::MAX_REPLY_BYTES;

/// Most bytes that come without anything being whole: a whole reply in one piece, and what a protocol
/// puts around it.
const MAX_UNHEARD_BYTES: usize = 2 * MAX_REPLY_BYTES;
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much is carried at a time, in bytes.
const BUFFER_BYTES: usize = 16 << 10;

/// Why a wire was cut from this side.
#[derive(Debug)]
pub(super) enum Cut {
    /// Too much came.
    Flooded,
    /// There is nobody at the other end.
    Unreachable(io::Error),
}

/// A socket that waits to be joined.
#[derive(Debug)]
pub(super) struct Loose {
    listener: UnixListener,
    path: PathBuf,
}

/// The wire of one question. Nothing of it is left when it is dropped.
#[derive(Debug)]
pub(super) struct Wire {
    shared: Arc<Shared>,
    _carrying: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    n_unheard: AtomicUsize,
    cut: OnceLock<Cut>,
}

impl Loose {
    /// A socket without a file, under a name that nobody else has.
    ///
    /// # Errors
    /// The system's, if it has no more sockets.
    pub(super) fn bind() -> io::Result<Loose> {
        let path = PathBuf::from(format!("\0draftsman-wire-{}", Uuid::now_v7()));
        let listener = UnixListener::bind(&path)?;
        Ok(Loose { listener, path })
    }

    /// What the HTTP client connects to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Joins it to `host` and `port`, once somebody connects.
    pub(super) fn join(self, host: String, port: u16) -> Wire {
        let shared = Arc::new(Shared::default());
        let carrying = carry_all(self.listener, host, port, Arc::clone(&shared));
        Wire {
            shared,
            _carrying: AbortOnDropHandle::new(tokio::spawn(carrying)),
        }
    }
}

impl Wire {
    /// Something has arrived whole.
    pub(super) fn heard(&self) {
        self.shared.n_unheard.store(0, Ordering::Relaxed);
    }

    /// Why it was cut, if it was cut here.
    pub(super) fn cut(&self) -> Option<&Cut> {
        self.shared.cut.get()
    }
}

/// One connection after the other, for an HTTP client may try again.
async fn carry_all(listener: UnixListener, host: String, port: u16, shared: Arc<Shared>) {
    while let Ok((mut near, _)) = listener.accept().await {
        // The name is no secret, so whoever else is on this machine could use it.
        let peer = near.peer_cred().ok().and_then(|peer| peer.pid());
        if peer.and_then(|pid| u32::try_from(pid).ok()) != Some(std::process::id()) {
            continue;
        }
        if let Err(cut) = carry(&mut near, &host, port, &shared).await {
            // The first reason is the reason. It is there before the client sees the end.
            let _ = shared.cut.set(cut);
            return;
        }
    }
}

/// Connects to the first address that answers; each has its own time.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last_error = io::ErrorKind::NotFound.into();
    for address in tokio::net::lookup_host((host, port)).await? {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => last_error = error,
            Err(_) => last_error = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last_error)
}

/// Carries both ways until either side has ended or too much came.
async fn carry(near: &mut UnixStream, host: &str, port: u16, shared: &Shared) -> Result<(), Cut> {
    let far = connect(host, port).await.map_err(Cut::Unreachable)?;
    // Errors of either side are seen by the HTTP client as an end, which it makes words of.
    let _ = far.set_nodelay(true);
    let (mut near_read, mut near_write) = near.split();
    let (mut far_read, mut far_write) = far.into_split();
    let up = async { tokio::io::copy(&mut near_read, &mut far_write).await };
    let down = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let n = far_read.read(&mut buffer).await.unwrap_or(0);
            if n == 0 || near_write.write_all(&buffer[..n]).await.is_err() {
                return Ok(());
            }
            if shared.n_unheard.fetch_add(n, Ordering::Relaxed) + n > MAX_UNHEARD_BYTES {
                return Err(Cut::Flooded);
            }
        }
    };
    tokio::select! {
        _ = up => Ok(()),
        ended = down => ended,
    }
}
