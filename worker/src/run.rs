//! The worker's wiring: what it starts, in which order it stops, and its probes.

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
use crate::issue::dispatch::Dispatcher;
use crate::issue::documents::DocumentCache;
use crate::issue::leases::Leases;
use crate::issue::orbits::Orbits;
use crate::issue::progress::Progress;
use crate::issue::slots::Slots;
use crate::metrics::Metrics;
use crate::roles::consumer::Consumer;
use crate::roles::heartbeat::{Beating, BeatingShard};
use crate::roles::previewer::Previewer;

/// Why a worker could not start, or go on.
#[derive(Debug, Error)]
pub enum StartError {
    /// A Lua script does not compile.
    #[error("scripts cannot be used")]
    Scripts(#[source] crate::flow::ScriptError),
    /// The store cannot be used.
    #[error("store cannot be used")]
    Store(#[from] StoreError),
    /// The address for metrics cannot be listened on.
    #[error("cannot listen on {address} (DRAFTSMAN_METRICS_LISTEN)")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has run, and has ended itself.
    #[error(
        "scripts that nothing can stop hold too many threads; start the worker again, and look for their names in its log"
    )]
    WornOut,
    /// The heartbeat's thread, or those of flows, could not be started.
    #[error("threads cannot be started")]
    Thread(#[source] std::io::Error),
    /// It has run, and one of its services failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Compiles every script, as a start would.
///
/// # Errors
/// [`StartError::Scripts`] names what does not compile.
pub fn check(config: &Config) -> Result<(), StartError> {
    let host = host(config)?;
    tracing::info!(scripts = ?host.script_names(), axes = ?host.axes(), "configuration and scripts are sound");
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

/// Runs a worker until `shutdown` resolves, then lets issues finish within the grace period and
/// hands the rest back. Waits, and says so, while Redis is away.
///
/// Cancel safe in the sense of a crash: dropped, its issues go to other workers when their
/// leases run out.
///
/// # Errors
/// [`StartError`] if it cannot start. Once it runs it ends when asked to, or, having released all its
/// issues, with [`StartError::WornOut`] or [`StartError::Service`].
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StartError> {
    let host = Arc::new(host(&config)?);
    let store = Store::open(config.redis_url.as_str(), config.shards)?;
    let worker_id = WorkerId::generate(&config.worker_name);
    tracing::info!(%worker_id, concurrency = config.concurrency, setting = %config.setting, "worker starts");
    let leases = Arc::new(Leases::new(config.lease));
    // Nothing records where nobody can ask.
    let numbers = config.metrics_listen.map(|_| prometheus::record());
    let metrics = Arc::new(Metrics::new(config.shards));
    let mut services = Services::<StartError>::default();
    // Probes are answered until the program ends.
    let forever = CancellationToken::new();
    if let Some(serving) = serve_probes(&config, &leases, &metrics, numbers).await? {
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
    // Also when this future is dropped: the heartbeat has a thread of its own.
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
    // Cancellations are heard until the last issue is through.
    let listening = crate::roles::listener::run(store.clone(), Arc::clone(&leases), ended.clone());
    services.spawn("listener", &ended, listening);
    services.spawn("progress", &ended, {
        let (dispatcher, ended) = (Arc::clone(&dispatcher), ended.clone());
        async move { dispatcher.progress.run(ended).await }
    });
    let previewer = Previewer {
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
        let promoting = crate::roles::promoter::run(shard.clone(), stopping.clone());
        services.spawn("promoter", &stopping, promoting);
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
    let mut consuming = Vec::new();
    for consumer in consumers {
        let (done, consumed) = oneshot::channel();
        services.spawn("consumer", &stopping, async move {
            // Nobody is left to tell if the worker was dropped.
            let _ = done.send(consumer.run().await);
        });
        consuming.push(consumed);
    }

    let worn_out = tokio::select! {
        () = &mut shutdown => false,
        () = host.worn_out().cancelled() => true,
        () = services.failed() => false,
    };
    // Nothing new, then what is open, then the rest back: the heartbeat beats until all of it is done.
    stopping.cancel();
    // Of a consumer that panicked nothing is known: what its list gets is then looked at by reapers.
    let consumed: Vec<_> = join_all(consuming)
        .await
        .into_iter()
        .map(Result::ok)
        .collect();
    slots.drain(&leases, config.grace).await;
    // Side by side: a node that is away is waited for once, and not for each of its shards.
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
            "could not sign off; what is left will be reaped"
        );
    }
    tracing::info!(%worker_id, "worker ended");
    services.result()?;
    if worn_out {
        Err(StartError::WornOut)
    } else {
        Ok(())
    }
}

/// How long a call may take on which leases depend. Two beats that get no answer must not use up the four
/// fifths for which a lease is trusted, and a reaper that waited long has not seen what went on meanwhile.
fn call_timeout(lease: Duration) -> Duration {
    (lease / 5).max(Duration::from_millis(400))
}

/// Gives back what was popped and never claimed, and takes the worker off the list if nothing is left
/// and nothing more can come: the list of a forgotten worker is looked at by nobody.
async fn sign_off(shard: &Shard, worker: &WorkerId, list_is_final: bool) -> Result<(), StoreError> {
    for issue in shard.processing(worker.as_str()).await? {
        shard.return_element(&issue, worker.as_str()).await?;
    }
    if list_is_final && shard.processing(worker.as_str()).await?.is_empty() {
        shard.forget_worker(worker).await?;
    }
    Ok(())
}

/// What serves metrics and probes, if the configuration says where.
async fn serve_probes(
    config: &Config,
    leases: &Arc<Leases>,
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
    let (leases, metrics, lease) = (Arc::clone(leases), Arc::clone(metrics), config.lease);
    Ok(Some(async move {
        let answer = |probe| metrics.answer(probe, lease, leases.n_open(), &numbers);
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

/// Waits for Redis, looks whether it will do, seeds what is bundled, and registers before the first pop.
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
            store.rank_labels().await?;
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
