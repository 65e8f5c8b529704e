//! The proxy itself, in front of a real redis-server: the data that it forwards, the connections
//! that it cuts, and that nothing else changes.

use std::time::Duration;

use futures::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult, cmd, pipe};
use shared::blueprint::Blueprint;
use shared::store::{ExpectedHead, PutOutcome, Store};
use tests::eventually::{eventually, wait_limit, within_wait_limit};
use tests::factory;
use tests::redis_server::{Aof, RedisServer};
use tests::resp_proxy::{Fault, RespProxy, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn fixture() -> (RedisServer, RespProxy) {
    let redis = RedisServer::start(Aof::None);
    let proxy = RespProxy::start(redis.port()).await;
    (redis, proxy)
}

/// A connection through the proxy with the wait limit of a test.
async fn through(proxy: &RespProxy) -> MultiplexedConnection {
    try_through(proxy, wait_limit())
        .await
        .expect("a connection")
}

async fn try_through(proxy: &RespProxy, wait: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(wait))
        .set_response_timeout(Some(wait));
    let client = redis::Client::open(proxy.url())?;
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// A raw socket to the proxy.
async fn socket(proxy: &RespProxy) -> TcpStream {
    let url = proxy.url();
    let address = url.strip_prefix("redis://").expect("a URL of Redis");
    TcpStream::connect(address)
        .await
        .expect("the proxy listens")
}

async fn incr(connection: &mut MultiplexedConnection, key: &str) -> RedisResult<i64> {
    cmd("INCR").arg(key).query_async(connection).await
}

/// The value of `key`, read without the proxy.
async fn held(redis: &RedisServer, key: &str) -> Option<i64> {
    let mut direct = redis.connection().await;
    cmd("GET")
        .arg(key)
        .query_async(&mut direct)
        .await
        .expect("GET")
}

#[tokio::test]
async fn pipelines_and_values_of_megabytes_pass_unchanged() {
    let (_redis, proxy) = fixture().await;
    let mut connection = through(&proxy).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut pipeline = pipe();
    pipeline.cmd("SET").arg("large").arg(&large).ignore();
    for n in 0..1_000 {
        pipeline.cmd("ECHO").arg(n);
    }
    pipeline.cmd("GET").arg("large").cmd("GET").arg("absent");
    let mut answers: Vec<redis::Value> = within_wait_limit(
        "the pipeline's answers",
        pipeline.query_async(&mut connection),
    )
    .await
    .expect("the pipeline");
    assert_eq!(answers.pop(), Some(redis::Value::Nil));
    assert!(answers.pop() == Some(redis::Value::BulkString(large)));
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(
            *answer,
            redis::Value::BulkString(n.to_string().into_bytes())
        );
    }
    assert_eq!(answers.len(), 1_000);
    assert_eq!((proxy.calls("ECHO"), proxy.calls("GET")), (1_000, 2));
}

#[tokio::test]
async fn a_command_may_come_byte_by_byte() {
    let (redis, proxy) = fixture().await;
    let mut socket = socket(&proxy).await;
    socket.set_nodelay(true).expect("a socket option");
    for byte in b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*2\r\n$3\r\nGET\r\n$1\r\nn\r\n" {
        socket.write_all(&[*byte]).await.expect("a byte");
        tokio::task::yield_now().await;
    }
    let mut answer = [0; 11];
    let read = within_wait_limit("the answers", socket.read_exact(&mut answer));
    read.await.expect("two answers");
    assert_eq!(&answer, b":1\r\n$1\r\n1\r\n");
    assert_eq!(held(&redis, "n").await, Some(1));
}

#[test]
fn a_frame_ends_where_its_last_byte_is() {
    let frames: [&[u8]; 15] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-5\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$4\r\na\r\nb\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
        b"_\r\n",
        b"%1\r\n+k\r\n*1\r\n#t\r\n",
        b"~2\r\n,1.5\r\n(12\r\n",
        b">2\r\n+pubsub\r\n=5\r\ntxt:x\r\n",
        b"|1\r\n+ttl\r\n:1\r\n$1\r\nx\r\n",
        b"!3\r\nERR\r\n",
    ];
    for bytes in frames {
        let text = String::from_utf8_lossy(bytes);
        for end in 0..bytes.len() {
            assert_eq!(frame::length(&bytes[..end]), Ok(None), "{text:?} to {end}");
        }
        let more = [bytes, b"+NEXT\r\n"].concat();
        assert_eq!(frame::length(&more), Ok(Some(bytes.len())), "{text:?}");
    }
    for bytes in [&b"PING\r\n"[..], b"$x\r\n", b"$?\r\n", b"\r\n"] {
        assert!(frame::length(bytes).is_err(), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_blocking_pop_waits_behind_it() {
    let (redis, proxy) = fixture().await;
    let mut connection = through(&proxy).await;
    let popping = tokio::spawn(async move {
        let mut pop = cmd("BRPOPLPUSH");
        pop.arg("from").arg("to").arg(0);
        pop.query_async::<String>(&mut connection).await
    });
    let mut direct = redis.connection().await;
    eventually("the pop is blocked", async || {
        let info: String = cmd("INFO")
            .arg("clients")
            .query_async(&mut direct)
            .await
            .expect("INFO");
        let blocked = info.contains("blocked_clients:1");
        blocked.then_some(()).ok_or(info)
    })
    .await;
    let push = cmd("LPUSH").arg("from").arg("element").to_owned();
    let _: i64 = push.query_async(&mut direct).await.expect("LPUSH");
    let popped = within_wait_limit("the element", popping).await;
    assert_eq!(popped.expect("no panic").expect("BRPOPLPUSH"), "element");
}

#[tokio::test]
async fn messages_of_a_subscription_pass_unasked() {
    let (redis, proxy) = fixture().await;
    let client = redis::Client::open(proxy.url()).expect("a valid URL");
    let mut pubsub = client.get_async_pubsub().await.expect("a connection");
    pubsub.subscribe("here").await.expect("SUBSCRIBE");
    pubsub.psubscribe("th*").await.expect("PSUBSCRIBE");
    let mut direct = redis.connection().await;
    for (channel, text) in [("here", "one"), ("there", "two"), ("here", "three")] {
        let n_heard: u32 = cmd("PUBLISH")
            .arg(channel)
            .arg(text)
            .query_async(&mut direct)
            .await
            .expect("PUBLISH");
        assert_eq!(n_heard, 1, "{channel}");
    }
    let mut heard = pubsub.into_on_message();
    for text in ["one", "two", "three"] {
        let message = within_wait_limit("a message", heard.next()).await;
        let payload: String = message.expect("it holds").get_payload().expect("text");
        assert_eq!(payload, text);
    }
}

#[tokio::test]
async fn cut_before_is_not_carried_out_and_cut_after_is() {
    let (redis, proxy) = fixture().await;
    for (fault, done) in [(Fault::CutBefore, 1), (Fault::CutAfter, 2)] {
        let key = format!("{fault:?}");
        let mut connection = through(&proxy).await;
        let mut cut = proxy.order(fault, "INCR", 2);
        assert_eq!(
            incr(&mut connection, &key).await.expect("the first call"),
            1
        );
        assert!(!cut.has_fired());
        let error = incr(&mut connection, &key).await;
        let error = error.expect_err("the second call is cut");
        assert!(error.is_connection_dropped(), "{error:?}");
        cut.fired().await;
        assert_eq!(held(&redis, &key).await, Some(done), "{fault:?}");
        assert_eq!(proxy.fired()[&(fault, "INCR".to_owned())], 1);
        // Other connections are not affected.
        let mut connection = through(&proxy).await;
        let next = incr(&mut connection, &key).await.expect("the third call");
        assert_eq!(next, done + 1);
    }
    assert_eq!(proxy.calls("INCR"), 6);
}

#[tokio::test]
async fn a_cut_in_a_pipeline_takes_what_comes_after_it() {
    let (redis, proxy) = fixture().await;
    let mut connection = through(&proxy).await;
    let mut cut = proxy.cut_before("INCR", 3);
    let mut pipeline = pipe();
    for _ in 0..5 {
        pipeline.cmd("INCR").arg("n");
    }
    let answers: RedisResult<Vec<i64>> = pipeline.query_async(&mut connection).await;
    assert!(answers.is_err(), "{answers:?}");
    cut.fired().await;
    let done = held(&redis, "n").await.unwrap_or(0);
    assert!(done <= 2, "{done} of the two before it, and none after it");
    assert_eq!(proxy.calls("INCR"), 3);
}

#[tokio::test]
async fn a_doubled_call_is_carried_out_twice_and_answered_once() {
    let (redis, proxy) = fixture().await;
    let mut connection = through(&proxy).await;
    let mut doubled = proxy.double("INCR", 1);
    assert_eq!(incr(&mut connection, "n").await.expect("INCR"), 1);
    doubled.fired().await;
    assert_eq!(held(&redis, "n").await, Some(2));
    // Later commands still get their own replies.
    let echoed: String = cmd("ECHO")
        .arg("x")
        .query_async(&mut connection)
        .await
        .expect("ECHO");
    assert_eq!(echoed, "x");
    assert_eq!(incr(&mut connection, "n").await.expect("INCR"), 3);
}

#[tokio::test]
async fn silence_leaves_the_client_waiting_for_what_was_done() {
    let (redis, proxy) = fixture().await;
    let mut socket = socket(&proxy).await;
    let mut silent = proxy.silence_after("INCR", 1);
    let two = b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*2\r\n$4\r\nINCR\r\n$1\r\nm\r\n";
    socket.write_all(two).await.expect("two commands");
    silent.fired().await;
    assert_eq!(held(&redis, "n").await, Some(1));
    eventually("later calls are carried out", async || {
        held(&redis, "m").await.ok_or_else(|| "not yet".to_owned())
    })
    .await;
    let nothing = socket.try_read(&mut [0; 1]);
    let kind = nothing.expect_err("no answer").kind();
    assert_eq!(kind, std::io::ErrorKind::WouldBlock, "and no end either");
}

#[tokio::test]
async fn what_is_sent_into_a_stall_arrives_when_it_heals() {
    let (redis, proxy) = fixture().await;
    let mut connection = through(&proxy).await;
    let mut stalling = proxy.stall_before("INCR", 2);
    assert_eq!(incr(&mut connection, "n").await.expect("INCR"), 1);
    let waiting = tokio::spawn(async move { incr(&mut connection, "n").await });
    stalling.fired().await;
    assert_eq!(held(&redis, "n").await, Some(1), "the second is held");
    let nobody = try_through(&proxy, Duration::from_millis(50)).await;
    assert!(nobody.is_err(), "a new connection gets no answer");
    proxy.stall(false);
    let answer = within_wait_limit("the answer", waiting).await;
    assert_eq!(answer.expect("no panic").expect("INCR"), 2);
}

#[tokio::test]
async fn connections_are_closed_and_refused_on_demand() {
    let (redis, proxy) = fixture().await;
    let mut connection = through(&proxy).await;
    assert_eq!(incr(&mut connection, "n").await.expect("INCR"), 1);
    proxy.refuse(true);
    assert_eq!(
        incr(&mut connection, "n").await.expect("INCR"),
        2,
        "not the present ones"
    );
    assert!(try_through(&proxy, wait_limit()).await.is_err());
    proxy.drop_all();
    let error = incr(&mut connection, "n").await.expect_err("it was closed");
    assert!(error.is_connection_dropped(), "{error:?}");
    assert_eq!(held(&redis, "n").await, Some(2));

    let other = RedisServer::start(Aof::None);
    proxy.set_upstream(other.port());
    proxy.refuse(false);
    let mut connection = through(&proxy).await;
    assert_eq!(
        incr(&mut connection, "n").await.expect("INCR"),
        1,
        "another server"
    );
}

#[tokio::test]
async fn scripts_have_names_and_their_outcomes_are_kept() {
    let (redis, proxy) = fixture().await;
    let store = Store::open(&proxy.url(), 1).expect("a valid URL");
    let document = Blueprint::parse(&factory::small("named")).expect("a Blueprint");
    let put = || store.put_blueprint(&document, ExpectedHead::Any, "r");
    // The server does not have the script yet: the call that runs it is cut.
    let mut cut = proxy.cut_after("put_blueprint", 1);
    let error = put().await.expect_err("the call is cut");
    assert!(
        error.is_retryable() && !error.certainly_not_executed(),
        "{error:?}"
    );
    cut.fired().await;
    assert_eq!(proxy.calls("SCRIPT LOAD put_blueprint"), 1);
    assert_eq!(proxy.outcomes("put_blueprint"), ["created"]);
    assert!(matches!(
        put().await.expect("again"),
        PutOutcome::Unchanged(_)
    ));
    assert_eq!(proxy.outcomes("put_blueprint"), ["created", "unchanged"]);
    assert_eq!(proxy.calls("put_blueprint"), 2);

    let mut direct = redis.connection().await;
    let flush = cmd("SCRIPT").arg("FLUSH").to_owned();
    let () = flush.query_async(&mut direct).await.expect("SCRIPT FLUSH");
    let mut doubled = proxy.double("put_blueprint", 1);
    put().await.expect("loaded again");
    doubled.fired().await;
    assert_eq!(
        proxy.outcomes("put_blueprint"),
        ["created", "unchanged", "unchanged", "unchanged"]
    );
    assert_eq!(proxy.calls("put_blueprint"), 3);
}
