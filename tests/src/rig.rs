//! Redis, intake and workers of one test, and a client connected to them.

use shared::domain::bundled::DEFAULT_SETTING;
use shared::domain::setting::EnhanceSetting;
use shared::ids::SettingId;
use shared::store::redis::keys::Keys;
use shared::store::{PutSettingOutcome, Store};

use crate::client::Client;
use crate::eventually::eventually;
use crate::programs::Process;
use crate::redis_server::{Aof, RedisServer};

/// The programs of one test. Fields are dropped in order: the programs end before their Redis.
#[derive(Debug)]
pub struct Rig {
    /// A client of `intake`.
    pub client: Client,
    /// The running workers.
    pub workers: Vec<Process>,
    /// The gRPC server.
    pub intake: Process,
    /// The private Redis.
    pub redis: RedisServer,
    /// The address of intake, `host:port`.
    pub address: String,
}

impl Rig {
    /// Starts Redis without a file, intake and one worker.
    pub async fn start() -> Self {
        let mut rig = Self::without_worker().await;
        rig.add_worker(&[]);
        rig
    }

    /// Starts Redis without a file, and intake. Submitted issues wait.
    pub async fn without_worker() -> Self {
        Self::with_redis(RedisServer::start(Aof::None)).await
    }

    /// Starts intake on the given Redis.
    pub async fn with_redis(redis: RedisServer) -> Self {
        let url = redis.url();
        Self::with_redis_at(redis, &url).await
    }

    /// Starts intake on the given Redis, with `url`, which can be that of a proxy.
    pub async fn with_redis_at(redis: RedisServer, url: &str) -> Self {
        Self::with_redis_at_and(redis, url, &[]).await
    }

    /// Starts intake on the given Redis, with additional variables.
    pub async fn with_redis_and(redis: RedisServer, env: &[(&str, &str)]) -> Self {
        let url = redis.url();
        Self::with_redis_at_and(redis, &url, env).await
    }

    async fn with_redis_at_and(redis: RedisServer, url: &str, env: &[(&str, &str)]) -> Self {
        let mut intake = Process::intake(url, env);
        let address = intake.address().await;
        let client = Client::connect(&address).await;
        Self {
            client,
            workers: Vec::new(),
            intake,
            redis,
            address,
        }
    }

    /// Waits until exactly `n` issues are in flight.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn until_in_flight(&self, n: u64) {
        eventually(&format!("{n} issues are in flight"), async || {
            let stats = self.client.stats().await;
            let all = stats.in_flight == n;
            all.then_some(()).ok_or_else(|| format!("{stats:?}"))
        })
        .await;
    }

    /// Starts another worker, with additional variables.
    pub fn add_worker(&mut self, env: &[(&str, &str)]) -> &mut Process {
        self.workers.push(Process::worker(&self.redis.url(), env));
        self.workers.last_mut().expect("one was pushed")
    }

    /// Restarts intake on another free port and connects the client to it.
    pub async fn restart_intake(&mut self) {
        self.restart_intake_with(&[]).await;
    }

    /// As [`Rig::restart_intake`], with additional variables.
    pub async fn restart_intake_with(&mut self, env: &[(&str, &str)]) {
        self.intake = Process::intake(&self.redis.url(), env);
        self.address = self.intake.address().await;
        self.client = Client::connect(&self.address).await;
    }

    /// Waits until `n` workers have registered, with their scripts.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn until_registered(&self, n: usize) {
        eventually(&format!("{n} workers have registered"), async || {
            let stats = self.client.stats().await;
            let all = stats.workers.len() == n;
            all.then_some(()).ok_or_else(|| format!("{stats:?}"))
        })
        .await;
    }

    /// Changes the setting `default` without the checks of PutSetting, as if it had been valid when
    /// it was written.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn write_setting(&self, edit: impl FnOnce(&mut EnhanceSetting)) {
        let store = Store::open(&self.redis.url(), 1).expect("a URL");
        let default = SettingId::parse(DEFAULT_SETTING).expect("an id");
        let found = store
            .home()
            .setting(&default)
            .await
            .expect("the store answers");
        let mut setting = found.expect("it is seeded");
        edit(&mut setting);
        let put = store.put_setting(&setting, None).await;
        assert!(matches!(put, Ok(PutSettingOutcome::Stored(_))), "{put:?}");
    }

    /// The number of decided issues.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn n_decided(&self) -> u64 {
        let mut connection = self.redis.connection().await;
        let length = redis::cmd("HLEN")
            .arg(Keys::of_shard(0).log())
            .query_async(&mut connection)
            .await;
        length.expect("HLEN")
    }

    /// One of the store's counters, such as `reaped`; 0 if it does not exist.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn counted(&self, name: &str) -> u64 {
        let mut connection = self.redis.connection().await;
        let count: Option<u64> = redis::cmd("HGET")
            .arg(Keys::of_shard(0).counts())
            .arg(name)
            .query_async(&mut connection)
            .await
            .expect("HGET");
        count.unwrap_or(0)
    }

    /// Every key of Redis that holds state, with its content in Redis's serialised form. Equal
    /// dumps show that nothing has changed.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn key_dump(&self) -> std::collections::BTreeMap<String, Vec<u8>> {
        let mut connection = self.redis.connection().await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut connection)
            .await
            .expect("KEYS");
        let mut dump = std::collections::BTreeMap::new();
        // The turn of a background role expires by itself.
        let is_state = |key: &String| !key.ends_with(":activity_counted");
        for key in keys.into_iter().filter(is_state) {
            let content: Option<Vec<u8>> = redis::cmd("DUMP")
                .arg(&key)
                .query_async(&mut connection)
                .await
                .expect("DUMP");
            dump.insert(key, content.unwrap_or_default());
        }
        dump
    }
}
