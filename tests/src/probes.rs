//! The HTTP endpoints of a program: metrics and probes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually::eventually;
use crate::programs::Process;

/// The address at which a program serves metrics, from its log.
///
/// # Panics
/// If the program does not log it.
pub async fn metrics_address(program: &Process) -> String {
    eventually("the address of metrics is logged", async || {
        let log = program.stderr();
        let address = log.split_once("metrics_address=").map(|(_, rest)| rest);
        let address = address.and_then(|rest| rest.split_whitespace().next());
        address.map(str::to_owned).ok_or(log)
    })
    .await
}

/// The metrics at an address, with the head of the HTTP response.
///
/// # Panics
/// If no server answers.
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
