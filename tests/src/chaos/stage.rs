//! The processes of a run, and the operations on them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tonic::transport::Channel;

use crate::chaos::addresses::Addresses;
use crate::chaos::report::Tally;
use crate::client::Client;
use crate::programs::{Process, Signal, send_signal};
use crate::redis_server::{Aof, RedisServer};
use crate::resp_proxy::RespProxy;
use crate::rig::Rig;

/// The number of workers.
pub(super) const N_WORKERS: usize = 4;
/// The number of intakes.
pub(super) const N_INTAKES: usize = 2;
/// The maximum number of attempts of an issue.
pub(super) const MAX_ATTEMPTS: u32 = 5;
/// The maximum number of retries after temporary faults.
pub(super) const MAX_RETRIES: u32 = 20;
/// The lifetime of a lease.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// The issue that kills every worker that runs it while faults are active.
pub(super) const POISON: &str = "poison";
const KILLED_BY_POISON: &str = "flow.after:poison=return(kill);";

/// All processes. The load and the lanes of faults share it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) tally: Arc<Tally>,
    /// The fail points of every worker.
    always: Mutex<&'static str>,
    redis: Mutex<RedisServer>,
    redis_port: u16,
    pub(super) worker_proxy: RespProxy,
    pub(super) intake_proxy: RespProxy,
    workers: Mutex<Vec<Process>>,
    intakes: Mutex<Vec<Process>>,
    pub(super) addresses: Addresses,
}

/// Locks one of the lists of processes.
fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().expect("no holder of this lock panics")
}

impl Stage {
    pub(super) async fn start(aof: Aof, poison: bool, tally: Arc<Tally>) -> Self {
        let redis = RedisServer::start(aof);
        let redis_port = redis.port();
        let stage = Self {
            tally,
            always: Mutex::new(if poison { KILLED_BY_POISON } else { "" }),
            redis: Mutex::new(redis),
            redis_port,
            worker_proxy: RespProxy::start(redis_port).await,
            intake_proxy: RespProxy::start(redis_port).await,
            workers: Mutex::default(),
            intakes: Mutex::default(),
            addresses: Addresses::default(),
        };
        for _ in 0..N_INTAKES {
            let (intake, address) = stage.new_intake("").await;
            lock(&stage.intakes).push(intake);
            stage.addresses.add(address);
        }
        for _ in 0..N_WORKERS {
            let worker = stage.new_worker("");
            lock(&stage.workers).push(worker);
        }
        stage
    }

    fn new_worker(&self, fail_points: &str) -> Process {
        let fail_points = format!("{}{fail_points}", lock(&self.always));
        let number = |n: u64| n.to_string();
        let lease = number(LEASE.as_secs());
        let (attempts, retries) = (number(MAX_ATTEMPTS.into()), number(MAX_RETRIES.into()));
        let env = [
            ("DRAFTSMAN_LEASE_SECS", lease.as_str()),
            ("DRAFTSMAN_MAX_ATTEMPTS", &attempts),
            ("DRAFTSMAN_MAX_RETRIES", &retries),
            ("DRAFTSMAN_GRACE_SECS", "1"),
            ("FAILPOINTS", &fail_points),
        ];
        Process::worker(&self.worker_proxy.url(), &env)
    }

    async fn new_intake(&self, fail_points: &str) -> (Process, String) {
        let env = [("FAILPOINTS", fail_points)];
        let mut intake = Process::intake(&self.intake_proxy.url(), &env);
        let address = intake.address().await;
        (intake, address)
    }

    /// Whether workers are armed against the poison issue.
    pub(super) fn is_poisoned(&self) -> bool {
        !lock(&self.always).is_empty()
    }

    /// As [`Addresses::channel`].
    pub(super) fn channel(&self, n: usize) -> Channel {
        self.addresses.channel(n)
    }

    /// As [`Addresses::watching_channel`].
    pub(super) fn watching_channel(&self, n: usize) -> Channel {
        self.addresses.watching_channel(n)
    }

    /// Sends a signal to a worker, unless it has died by itself.
    pub(super) fn signal_worker(&self, n: usize, signal: Signal) {
        let mut workers = lock(&self.workers);
        if workers[n].try_wait().is_none() {
            workers[n].signal(signal);
        }
    }

    /// Kills a worker, unless it has died by itself, and starts another in its place.
    pub(super) fn replace_worker(&self, n: usize, fail_points: &str) {
        let new = self.new_worker(fail_points);
        let mut old = std::mem::replace(&mut lock(&self.workers)[n], new);
        old.kill();
    }

    /// Terminates a worker gracefully and starts another in its place.
    pub(super) async fn restart_worker(&self, n: usize) {
        let new = self.new_worker("");
        let mut old = std::mem::replace(&mut lock(&self.workers)[n], new);
        if old.try_wait().is_some() {
            return;
        }
        old.signal(Signal::Terminate);
        // Without Redis the worker cannot return its issues, and retries until its grace period
        // ends.
        old.wait().await;
    }

    /// Starts a worker in the place of each dead one, and returns how many had died.
    pub(super) fn seat_the_missing(&self) -> u64 {
        let mut missing = 0;
        for n in 0..N_WORKERS {
            let died = lock(&self.workers)[n].try_wait().is_some();
            if died {
                let new = self.new_worker("");
                lock(&self.workers)[n] = new;
                missing += 1;
            }
        }
        missing
    }

    /// Kills an intake, or terminates it gracefully, and starts another.
    pub(super) async fn replace_intake(&self, n: usize, signal: Option<Signal>, fail_points: &str) {
        let (new, address) = self.new_intake(fail_points).await;
        let mut old = std::mem::replace(&mut lock(&self.intakes)[n], new);
        self.addresses.set(n, address);
        match signal {
            Some(signal) if old.try_wait().is_none() => {
                old.signal(signal);
                old.wait().await;
            }
            _ => old.kill(),
        }
    }

    /// Whether that intake has died by itself.
    pub(super) fn intake_died(&self, n: usize) -> bool {
        lock(&self.intakes)[n].try_wait().is_some()
    }

    /// Kills Redis with SIGKILL. Written data is available after the restart.
    pub(super) fn kill_redis(&self, away: Duration) {
        tokio::task::block_in_place(|| {
            let mut redis = lock(&self.redis);
            redis.kill();
            std::thread::sleep(away);
            redis.start_again();
        });
    }

    /// Terminates Redis with SIGTERM and starts it again with the same data.
    pub(super) fn restart_redis(&self) {
        tokio::task::block_in_place(|| {
            let mut redis = lock(&self.redis);
            redis.stop();
            redis.start_again();
        });
    }

    /// Sends SIGSTOP or SIGCONT to Redis.
    pub(super) fn signal_redis(&self, signal: Signal) {
        send_signal(lock(&self.redis).pid(), signal);
    }

    /// The URL of Redis itself, without a proxy.
    pub(super) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis_port)
    }

    /// Runs one command on Redis itself, without a proxy.
    ///
    /// # Errors
    /// The error that Redis returns.
    pub(super) async fn command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.redis_url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    /// Ends every fault: restarts all processes without fail points, and clears all faults of the
    /// proxies.
    pub(super) async fn heal(&self) {
        *lock(&self.always) = "";
        for proxy in [&self.worker_proxy, &self.intake_proxy] {
            proxy.forget_orders();
            proxy.stall(false);
            proxy.refuse(false);
        }
        for n in 0..N_WORKERS {
            self.signal_worker(n, Signal::Continue);
            self.restart_worker(n).await;
        }
        for n in 0..N_INTAKES {
            self.replace_intake(n, Some(Signal::Terminate), "").await;
        }
    }

    /// The rig for the checker, the other intakes, and the proxies that its programs use. No other
    /// task may still use the stage.
    pub(super) async fn into_rig(self) -> (Rig, Vec<Process>, [RespProxy; 2]) {
        let mut intakes = self
            .intakes
            .into_inner()
            .expect("no holder of this lock panics");
        let address = self.addresses.get(0);
        let rig = Rig {
            client: Client::connect(&address).await,
            workers: self
                .workers
                .into_inner()
                .expect("no holder of this lock panics"),
            intake: intakes.remove(0),
            redis: self
                .redis
                .into_inner()
                .expect("no holder of this lock panics"),
            address,
        };
        (rig, intakes, [self.worker_proxy, self.intake_proxy])
    }
}
