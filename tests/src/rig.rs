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

/// What one test runs. Fields are dropped in order: the programs go before their Redis.
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
    /// Where intake listens, `host:port`.
    pub address: String,
}

impl Rig {
    /// Redis without a file, intake and one worker.
    pub async fn start() -> Self {
        let mut rig = Self::without_worker().await;
        rig.add_worker(&[]);
        rig
    }

    /// Redis without a file and intake; what is submitted waits.
    pub async fn without_worker() -> Self {
        Self::with_redis(RedisServer::start(Aof::None)).await
    }

    /// Intake on the given Redis.
    pub async fn with_redis(redis: RedisServer) -> Self {
        let url = redis.url();
        Self::with_redis_at(redis, &url).await
    }

    /// Intake on the given Redis, which it reaches at `url`: that of a proxy.
    pub async fn with_redis_at(redis: RedisServer, url: &str) -> Self {
        Self::with_redis_at_and(redis, url, &[]).await
    }

    /// Intake on the given Redis, with this environment besides the usual.
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

    /// Starts one more worker with this environment besides the usual.
    pub fn add_worker(&mut self, env: &[(&str, &str)]) -> &mut Process {
        self.workers.push(Process::worker(&self.redis.url(), env));
        self.workers.last_mut().expect("one was pushed")
    }

    /// Starts intake anew (on another free port) and connects the client to it.
    pub async fn restart_intake(&mut self) {
        self.restart_intake_with(&[]).await;
    }

    /// As [`Rig::restart_intake`], with this environment besides the usual.
    pub async fn restart_intake_with(&mut self, env: &[(&str, &str)]) {
        self.intake = Process::intake(&self.redis.url(), env);
        self.address = self.intake.address().await;
        self.client = Client::connect(&self.address).await;
    }

    /// Waits until this many workers have registered, and their scripts with them.
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

    /// Changes the setting `default` past the checks of PutSetting: it becomes one that was right
    /// when it was written and is not any more.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn write_setting(&self, edit: impl FnOnce(&mut EnhanceSetting)) {
        let store = Store::open(&self.redis.url(), 1).expect("a URL");
        let default = SettingId::parse(DEFAULT_SETTING).expect("an id");
        let found = store.setting(&default).await.expect("the store answers");
        let mut setting = found.expect("it is seeded");
        edit(&mut setting);
        let put = store.put_setting(&setting, None).await;
        assert!(matches!(put, Ok(PutSettingOutcome::Stored(_))), "{put:?}");
    }

    /// How many issues are decided.
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

    /// One of the store's own counters, such as `reaped`; 0 if it never counted.
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

    /// Every key of Redis with its content in Redis's own serialised form; equal dumps mean that
    /// nothing was changed in between.
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
        for key in keys {
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
