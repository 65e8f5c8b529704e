//! The worker's startup, shutdown order and probes.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use shared::error::chain;
use shared::fail_point;
use shared::ids::WorkerId;
use shared::store::{Seed, Shard, Store, StoreError};
use shared::telemetry::probes;
use shared::telemetry::prometheus::{self, Numbers, TIDY_EVERY};
use shared::whole_ms::whole_ms;
use supervisor::{ServiceError, Services};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::flow_threads::FlowThreads;
use crate::flow::{FlowConfig, FlowHost};
use crate::issue::dispatcher::Dispatcher;
use crate::issue::documents::DocumentCache;
use crate::issue::leases::Leases;
use crate::issue::orbits::Orbits;
use crate::issue::progress::Progress;
use crate::issue::slots::Slots;
use crate::metrics::{self, Metrics};
use crate::roles::consumer::Consumer;
use crate::roles::heartbeat::{Beating, BeatingShard};
use crate::roles::previewer::Previewer;
use crate::roles::running_previews::RunningPreviews;

/// An error that prevents the start of a worker, or ends it.
#[derive(Debug, Error)]
pub enum StartError {
    /// A Lua script does not compile.
    #[error("scripts cannot be used")]
    Scripts(#[source] crate::flow::ScriptError),
    /// The store is not usable.
    #[error("store cannot be used")]
    Store(#[from] StoreError),
    /// The address for metrics cannot be bound.
    #[error("cannot listen on {address} (DRAFTSMAN_METRICS_LISTEN)")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// The worker ended itself because unstoppable scripts hold too many threads.
    #[error(
        "too many threads run scripts that cannot be stopped; restart the worker, and look for the names of the scripts in its log"
    )]
    StuckScripts,
    /// The heartbeat thread or the flow threads could not be started.
    #[error("threads cannot be started")]
    Thread(#[source] std::io::Error),
    /// One of the running worker's services failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Compiles every script, as at startup.
///
/// # Errors
/// [`StartError::Scripts`] names the script that does not compile.
pub fn check(config: &Config) -> Result<(), StartError> {
    let host = host(config)?;
    tracing::info!(scripts = ?host.script_names(), axes = ?host.axes(), "configuration and scripts are valid");
    Ok(())
}

fn host(config: &Config) -> Result<FlowHost, StartError> {
    FlowHost::new(&FlowConfig {
        lua_dir: config.lua_dir.clone(),
        llm_base_url: config.llm_base_url.clone(),
        programs: config.programs.clone(),
    })
    .map_err(StartError::Scripts)
}

/// Runs a worker until `shutdown` resolves. It then lets issues finish within the grace period and
/// hands the rest back. While Redis is unavailable it waits and logs a warning.
///
/// Cancel safe in the sense of a crash: if the future is dropped, other workers take its issues
/// when the leases expire.
///
/// # Errors
/// Returns [`StartError`] if the worker cannot start. A running worker releases all its issues
/// before it returns [`StartError::StuckScripts`] or [`StartError::Service`].
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StartError> {
    let host = Arc::new(host(&config)?);
    let store = Store::open(config.redis_url.as_str(), config.shards)?;
    let worker_id = WorkerId::generate(&config.worker_name);
    tracing::info!(%worker_id, concurrency = config.concurrency, setting = %config.setting, "worker starts");
    let leases = Arc::new(Leases::new(config.lease));
    // Without an address for metrics, no recorder is needed.
    let numbers = config.metrics_listen.map(|_| prometheus::record());
    let metrics = Arc::new(Metrics::new(config.shards));
    let mut services = Services::<StartError>::default();
    // Probes are served until the process exits.
    let forever = CancellationToken::new();
    if let Some(serving) = serve_probes(&config, &metrics, numbers).await? {
        services.spawn("probes", &forever, serving);
    }
    tokio::pin!(shutdown);
    tokio::select! {
        ready = wait_until_ready(&store, &worker_id, config.lease, &host) => ready?,
        () = &mut shutdown => return Ok(()),
        () = services.failed() => return services.result(),
    }

    fail_point::pass("register.after");
    let stopping = CancellationToken::new();
    let ended = CancellationToken::new();
    // The heartbeat has its own thread, which must also stop when this future is dropped.
    let _end_heartbeat = ended.clone().drop_guard();
    let flows = FlowThreads::start(config.flow_threads).map_err(StartError::Thread)?;
    let flows = Arc::new(flows);
    let own = config.setting.clone();
    let dispatcher = Arc::new(Dispatcher {
        store: store.clone(),
        worker_id: worker_id.clone(),
        leases: Arc::clone(&leases),
        orbits: Orbits::new(store.clone(), Arc::clone(&host), Arc::clone(&flows), own),
        host: Arc::clone(&host),
        flows,
        metrics: Arc::clone(&metrics),
        documents: DocumentCache::default(),
        progress: Progress::new(store.clone()),
        lease: config.lease,
        max_attempts: config.max_attempts,
        max_retries: config.max_retries,
    });
    let slots = Slots::new(config.concurrency, store.shards().len());
    let (mut consumers, mut beating) = (Vec::new(), Vec::new());
    for shard in store.shards() {
        let (consumer, found) = Consumer::new(
            Arc::clone(&dispatcher),
            shard.clone(),
            Arc::clone(&slots),
            stopping.clone(),
        );
        consumers.push(consumer);
        let shard = shard.with_own_connection(call_timeout(config.lease));
        beating.push(BeatingShard { shard, found });
    }
    let heartbeat = Beating {
        store: store.clone(),
        shards: beating,
        worker: worker_id.clone(),
        lease: config.lease,
        leases: Arc::clone(&leases),
        metrics: Arc::clone(&metrics),
        scripts: (host.script_names(), host.axes()),
    };
    let heartbeat = heartbeat.start(ended.clone()).map_err(StartError::Thread)?;
    services.spawn("heartbeat", &ended, heartbeat.run());
    services.spawn("gauges", &ended, metrics::keep_gauges(ended.clone()));
    // The listener runs until the last issue is settled.
    let previews = RunningPreviews::default();
    let listening = crate::roles::listener::run(
        store.clone(),
        Arc::clone(&leases),
        previews.clone(),
        ended.clone(),
    );
    services.spawn("listener", &ended, listening);
    services.spawn("progress", &ended, {
        let (dispatcher, ended) = (Arc::clone(&dispatcher), ended.clone());
        async move { dispatcher.progress.run(ended).await }
    });
    let previewer = Previewer {
        previews,
        dispatcher: Arc::clone(&dispatcher),
        grace: config.grace,
        stop: stopping.clone(),
    };
    services.spawn("previewer", &stopping, previewer.run());
    for shard in store.shards() {
        let reaping = crate::roles::reaper::run(
            shard.with_own_connection(call_timeout(config.lease)),
            config.lease,
            config.max_attempts,
            Arc::clone(&metrics),
            stopping.clone(),
        );
        services.spawn("reaper", &stopping, reaping);
        let (metrics, stop) = (Arc::clone(&metrics), stopping.clone());
        let auditing = crate::roles::auditor::run(store.clone(), shard.clone(), metrics, stop);
        services.spawn("auditor", &stopping, auditing);
        let counting = crate::roles::activity_counter::run(shard.clone(), stopping.clone());
        services.spawn("activity_counter", &stopping, counting);
        let promoting = crate::roles::promoter::run(shard.clone(), stopping.clone());
        services.spawn("promoter", &stopping, promoting);
        let expiring = crate::roles::review_expirer::run(shard.clone(), stopping.clone());
        services.spawn("review_expirer", &stopping, expiring);
        if let Some(retention) = config.retention {
            let pruning = crate::roles::pruner::run(shard.clone(), retention, stopping.clone());
            services.spawn("pruner", &stopping, pruning);
        }
    }
    if store.shards().len() > 1 {
        let watching =
            crate::roles::orbit_watcher::watch(Arc::clone(&dispatcher), stopping.clone());
        services.spawn("orbits", &stopping, watching);
    }
    tracing::info!(%worker_id, "worker is ready");
    shared::fail_point::event("worker.ready", &[("worker_id", &worker_id)]);
    let mut consuming = Vec::new();
    for consumer in consumers {
        let (done, consumed) = oneshot::channel();
        services.spawn("consumer", &stopping, async move {
            // The receiver is missing if the worker was dropped.
            let _ = done.send(consumer.run().await);
        });
        consuming.push(consumed);
    }

    let restart_needed = tokio::select! {
        () = &mut shutdown => false,
        () = host.restart_needed().cancelled() => true,
        () = services.failed() => false,
    };
    // The order of shutdown: stop popping, finish open issues, hand the rest back. The heartbeat
    // runs until the end.
    stopping.cancel();
    // The state of a consumer that panicked is unknown: reapers handle the elements of its list.
    let consumed: Vec<_> = join_all(consuming)
        .await
        .into_iter()
        .map(Result::ok)
        .collect();
    slots.drain(&leases, config.grace).await;
    // Concurrently: an unavailable node is waited for once instead of once for each of its shards.
    let final_lists = join_all(consumed.iter().map(async |consumer| match consumer {
        Some(consumer) => consumer.is_over().await,
        None => false,
    }))
    .await;
    services.ended().await;
    ended.cancel();
    services.ended().await;
    fail_point::pass("sign_off.before");
    let shards = store.shards().iter().zip(final_lists);
    let signing_off = shards.map(|(shard, is_final)| sign_off(shard, &worker_id, is_final));
    for error in join_all(signing_off)
        .await
        .into_iter()
        .filter_map(Result::err)
    {
        tracing::warn!(
            error = chain(&error),
            "could not sign off; a reaper returns the remaining issues"
        );
    }
    tracing::info!(%worker_id, "worker ended");
    services.result()?;
    if restart_needed {
        Err(StartError::StuckScripts)
    } else {
        Ok(())
    }
}

/// Returns the timeout of calls on which leases depend.
///
/// Two unanswered heartbeats must not use up the four fifths of a lease for which it is trusted. A
/// reaper that waits too long has an outdated view.
fn call_timeout(lease: Duration) -> Duration {
    (lease / 5).max(Duration::from_millis(400))
}

/// Returns unclaimed elements to the queue. Removes the worker from the store if its own list is
/// empty and final. No reaper reads the list of a removed worker.
async fn sign_off(shard: &Shard, worker: &WorkerId, list_is_final: bool) -> Result<(), StoreError> {
    for issue in shard.processing(worker.as_str()).await? {
        shard.return_element(&issue, worker.as_str()).await?;
    }
    if list_is_final && shard.processing(worker.as_str()).await?.is_empty() {
        shard.forget_worker(worker).await?;
    }
    Ok(())
}

/// Returns the server of metrics and probes; `None` if the configuration has no address.
async fn serve_probes(
    config: &Config,
    metrics: &Arc<Metrics>,
    numbers: Option<Numbers>,
) -> Result<Option<impl Future<Output = ()> + Send + use<>>, StartError> {
    let (Some(address), Some(numbers)) = (config.metrics_listen, numbers) else {
        return Ok(None);
    };
    let listening = TcpListener::bind(address).await;
    let listener = listening.map_err(|source| StartError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(metrics_address = %address, "metrics and probes are served");
    let (metrics, lease) = (Arc::clone(metrics), config.lease);
    Ok(Some(async move {
        let rendered = numbers.clone();
        let answer = move |probe| metrics.answer(probe, lease, &rendered);
        let tidying = async {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                numbers.tidy();
            }
        };
        tokio::select! {
            () = probes::serve(listener, answer) => {}
            () = tidying => {}
        }
    }))
}

/// Waits for Redis, checks the server, writes the bundled documents, and registers the worker
/// before its first pop.
async fn wait_until_ready(
    store: &Store,
    worker: &WorkerId,
    lease: Duration,
    host: &FlowHost,
) -> Result<(), StartError> {
    let seed = Seed::bundled();
    let mut pause = crate::pause::Pause::default();
    let mut checked = false;
    loop {
        let tried = async {
            if !checked {
                store.check_server().await?;
                checked = true;
            }
            store.ping().await?;
            store.prepare(&seed).await?;
            let (steps, axes) = (host.script_names(), host.axes());
            store.register_scripts(worker, &steps, &axes).await?;
            for shard in store.shards() {
                shard.beat(worker, whole_ms(lease), &[]).await?;
            }
            Ok::<(), StoreError>(())
        };
        match tried.await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_retryable() => {
                tracing::warn!(error = chain(&error), "redis is not ready; waiting for it");
                pause.wait().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
