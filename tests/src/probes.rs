//! What a program serves for Prometheus.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually::eventually;
use crate::programs::Process;

/// Where a program says that it serves metrics.
///
/// # Panics
/// If it does not.
pub async fn metrics_address(program: &Process) -> String {
    eventually("the address of metrics is logged", async || {
        let log = program.stderr();
        let address = log.split_once("metrics_address=").map(|(_, rest)| rest);
        let address = address.and_then(|rest| rest.split_whitespace().next());
        address.map(str::to_owned).ok_or(log)
    })
    .await
}

/// What is served there, with the head of the answer.
///
/// # Panics
/// If nobody answers.
pub async fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("metrics are served");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\n\r\n")
        .await
        .expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    text
}
