//! `draftsman console` in front of an intake, and plain HTTP requests to it.

use std::collections::HashMap;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually::{eventually_now, within_wait_limit};
use crate::programs::{Process, Program};

/// A running console.
#[derive(Debug)]
pub struct Console {
    /// Its address, `http://host:port`.
    pub url: String,
    /// The program.
    pub process: Process,
}

/// An answer to a plain request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case. Of several, the last one.
    pub headers: HashMap<String, String>,
    /// The cookies as a request sends them.
    pub cookies: Vec<String>,
    /// The body.
    pub body: String,
}

impl Console {
    /// Starts it in front of the intake at `address` (`host:port`), with additional arguments.
    ///
    /// # Panics
    /// If it does not tell its address within the wait limit.
    pub async fn start(address: &str, args: &[&str]) -> Self {
        let intake = format!("http://{address}");
        let mut all = vec![
            "console",
            "--listen",
            "127.0.0.1:0",
            "--addr",
            &intake,
            "--output",
            "json",
        ];
        all.extend_from_slice(args);
        let process = Process::start(Program::Draftsman, &all, &[("USER", "tester")]);
        let url = eventually_now("the console tells its address", || {
            let said: Option<Value> = serde_json::from_str(&process.stdout()).ok();
            let url = said.and_then(|said| Some(said["console"].as_str()?.to_owned()));
            url.ok_or_else(|| process.stderr())
        })
        .await;
        Self { url, process }
    }

    /// Returns `host:port`.
    pub fn host(&self) -> &str {
        self.url.strip_prefix("http://").unwrap_or(&self.url)
    }

    /// Sends a request with these headers, on a connection of its own.
    ///
    /// # Panics
    /// If the console does not answer with HTTP.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            text.push_str(&format!("host: {}\r\n", self.host()));
        }
        if method == "POST" {
            text.push_str("content-type: application/x-www-form-urlencoded\r\n");
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let answer = within_wait_limit("the console answers", async {
            let mut stream = TcpStream::connect(self.host()).await.expect("a connection");
            // It may answer and close before it has read a body that is too large.
            let _ = stream.write_all(text.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        })
        .await;
        parse(&answer)
    }

    /// Gets a page with these cookies.
    pub async fn get(&self, path: &str, cookies: &str) -> Answer {
        self.request("GET", path, &[("cookie", cookies)], "").await
    }

    /// Posts a form of this console with these cookies.
    pub async fn post(&self, path: &str, cookies: &str, body: &str) -> Answer {
        let origin = self.url.clone();
        self.request(
            "POST",
            path,
            &[("cookie", cookies), ("origin", &origin)],
            body,
        )
        .await
    }

    /// Signs in. Returns the cookies of the browser.
    ///
    /// # Panics
    /// If the token is refused.
    pub async fn sign_in(&self, token: &str) -> String {
        let page = self.get("/sign-in", "").await;
        let cookies = page.cookies.join("; ");
        let body = format!("form_token={}&token={token}&next=/", page.form_token());
        let answer = self.post("/sign-in", &cookies, &body).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        format!("{cookies}; {}", answer.cookies.join("; "))
    }
}

fn parse(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut headers = HashMap::new();
    let mut cookies = Vec::new();
    for line in lines {
        if let Some((name, value)) = line.split_once(": ") {
            let name = name.to_ascii_lowercase();
            if name == "set-cookie" {
                cookies.push(value.split(';').next().unwrap_or_default().to_owned());
            }
            headers.insert(name, value.to_owned());
        }
    }
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
        headers,
        cookies,
        body: body.to_owned(),
    }
}

impl Answer {
    /// Returns the token of the first form of the page.
    ///
    /// # Panics
    /// If the page has no form.
    pub fn form_token(&self) -> &str {
        let (_, rest) = self
            .body
            .split_once("name=\"form_token\" value=\"")
            .expect("a form");
        rest.split('"').next().unwrap_or_default()
    }
}
