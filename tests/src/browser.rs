//! A real browser: Debian's `chromium`, driven through `chromedriver`. Without them the tests print
//! a reason and pass.
//!
//! Each page records its own console errors, script errors and violations of its policy; see
//! [`Browser::problems`].

use std::future::IntoFuture;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::prelude::*;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::eventually::{eventually, wait_limit, within_wait_limit};
use crate::programs::workspace_dir;

/// Runs in every page before its own script.
const RECORDER: &str = r"
    window.problems = [];
    addEventListener('securitypolicyviolation', (e) => problems.push('policy: ' + e.violatedDirective + ' ' + e.blockedURI));
    addEventListener('error', (e) => problems.push('error: ' + e.message));
    addEventListener('unhandledrejection', (e) => problems.push('rejection: ' + e.reason));
    for (const kind of ['error', 'warn']) {
        const plain = console[kind];
        console[kind] = (...given) => { problems.push(kind + ': ' + given.join(' ')); plain(...given); };
    }
    window.alert = (text) => problems.push('alert: ' + text);
";

/// A browser with one window. Dropping it ends both processes.
#[derive(Debug)]
pub struct Browser {
    /// The window.
    pub driver: WebDriver,
    /// The process of chromedriver, which ends the browser.
    _process: Child,
    _profile: tempfile::TempDir,
}

/// Returns the path of a program; `None` if it is not installed.
fn program(names: &[&str]) -> Option<PathBuf> {
    let dirs = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&dirs).collect();
    let mut paths = names
        .iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    paths.find(|path| path.is_file())
}

impl Browser {
    /// Starts a browser. `None`, with a printed reason, if it is not installed.
    ///
    /// # Panics
    /// If it is installed and does not start.
    #[expect(clippy::print_stdout, reason = "a skipped test says why")]
    pub async fn start() -> Option<Self> {
        let (Some(chromium), Some(driver)) = (
            program(&["chromium", "chromium-browser"]),
            program(&["chromedriver"]),
        ) else {
            let reason = "no browser: install chromium and chromium-driver (Debian, Ubuntu)";
            println!("skipped: {reason}");
            return None;
        };
        let mut process = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver runs");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let port = within_wait_limit("chromedriver tells its port", async {
            while let Some(line) = lines.next_line().await.expect("a line") {
                if let Some((_, port)) = line.split_once("successfully on port ") {
                    return port.trim_end_matches('.').to_owned();
                }
            }
            panic!("chromedriver ended");
        })
        .await;
        // Nobody reads further lines, and a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().expect("a directory");
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities
            .set_binary(chromium.to_str().expect("a plain path"))
            .expect("a capability");
        let user_data = format!("--user-data-dir={}", profile.path().display());
        for arg in [
            "--headless=new",
            // Tests may run as root, and in containers with a small /dev/shm.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            &user_data,
        ] {
            capabilities.add_arg(arg).expect("a capability");
        }
        // The HTTP client of WebDriver wants a cryptography, even for plain text. Only the first
        // call of a process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The driver ends its session when it is dropped, on a thread of its own, while this
        // thread waits. A kept connection belongs to the runtime of this thread, so that end
        // would never come: no connection is kept.
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .timeout(wait_limit())
            .build()
            .expect("a client");
        let url = format!("http://127.0.0.1:{port}");
        let session = WebDriver::builder(&*url, capabilities).client(client);
        let driver = within_wait_limit("the browser starts", session.into_future()).await;
        let driver = driver.expect("a session");
        let browser = Self {
            driver,
            _process: process,
            _profile: profile,
        };
        let recorder = json!({ "source": RECORDER });
        browser
            .cdp("Page.addScriptToEvaluateOnNewDocument", recorder)
            .await;
        Some(browser)
    }

    async fn cdp(&self, command: &str, parameters: Value) {
        let called = self.driver.cdp().send_raw(command, parameters).await;
        called.unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    /// Sets the size of the page, and whether it is dark.
    pub async fn look(&self, width: u32, is_dark: bool) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
        let value = if is_dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.cdp("Emulation.setEmulatedMedia", media).await;
    }

    /// Switches JavaScript on or off, from the next page on.
    pub async fn scripts(&self, on: bool) {
        let value = json!({ "value": !on });
        self.cdp("Emulation.setScriptExecutionDisabled", value)
            .await;
    }

    /// Opens an address.
    ///
    /// # Panics
    /// If the browser fails.
    pub async fn open(&self, url: &str) {
        let opened = within_wait_limit(url, self.driver.goto(url)).await;
        opened.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Returns what went wrong in the present page.
    ///
    /// # Panics
    /// If the browser fails.
    pub async fn problems(&self) -> Vec<String> {
        let found = self
            .driver
            .execute("return window.problems", Vec::new())
            .await;
        let found = found.expect("the page answers").convert();
        found.expect("the recorder runs in every page")
    }

    /// Returns the visible text of the page.
    ///
    /// # Panics
    /// If the browser fails.
    pub async fn text(&self) -> String {
        let found = self
            .driver
            .execute("return document.body.innerText", Vec::new())
            .await;
        found.expect("the page answers").convert().expect("a text")
    }

    /// Waits until the page shows `text`.
    ///
    /// # Panics
    /// If it does not within the wait limit.
    pub async fn until_text(&self, text: &str) {
        eventually(&format!("the page shows {text:?}"), async || {
            let shown = self
                .driver
                .execute(
                    "return document.body ? document.body.innerText : ''",
                    Vec::new(),
                )
                .await;
            let shown: String = shown
                .map_err(|error| error.to_string())?
                .convert()
                .map_err(|error| error.to_string())?;
            shown.contains(text).then_some(()).ok_or(shown)
        })
        .await;
    }

    /// Returns the first element of a selector.
    ///
    /// # Panics
    /// If the page does not have it.
    pub async fn find(&self, css: &str) -> WebElement {
        let found = self.driver.find(By::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Fills a field.
    ///
    /// # Panics
    /// If the page does not have it.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.expect("a field");
        field.send_keys(text).await.expect("a field");
    }

    /// Clicks an element.
    ///
    /// # Panics
    /// If the page does not have it, or it is hidden.
    pub async fn click(&self, css: &str) {
        let clicked = self.find(css).await.click().await;
        clicked.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Writes the whole page as an image below `target/screenshots`.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub async fn screenshot(&self, name: &str) {
        let height = self
            .driver
            .execute("return document.documentElement.scrollHeight", Vec::new())
            .await;
        let height: u32 = height
            .expect("the page answers")
            .convert()
            .expect("a height");
        let width = self.driver.execute("return innerWidth", Vec::new()).await;
        let width: u32 = width.expect("the page answers").convert().expect("a width");
        let height = height.clamp(600, 4_000);
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
        let dir = workspace_dir().join("target/screenshots");
        std::fs::create_dir_all(&dir).expect("a directory");
        let taken = self
            .driver
            .screenshot(&dir.join(format!("{name}.png")))
            .await;
        taken.expect("a screenshot");
    }

    /// Runs axe-core on the present page and returns its findings, one per line.
    ///
    /// # Panics
    /// If axe does not run.
    pub async fn axe(&self, source: &str) -> Vec<String> {
        let script = format!(
            "{source}; const done = arguments[arguments.length - 1]; \
             axe.run(document, {{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }}) \
             .then((r) => done(r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 200) + ' ' + n.failureSummary).join(' | '))), \
             (e) => done(['axe failed: ' + e]));"
        );
        let found = self.driver.execute_async(script, Vec::new()).await;
        found.expect("axe runs").convert().expect("a list")
    }
}

/// Returns the source of axe-core, from the package `axe-playwright-python` of the tests' Python,
/// or from the file that `DRAFTSMAN_TEST_AXE` names. `None`, with a printed reason, if it is
/// missing.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
pub async fn axe_source() -> Option<String> {
    if let Some(path) = std::env::var_os("DRAFTSMAN_TEST_AXE") {
        return Some(std::fs::read_to_string(path).expect("DRAFTSMAN_TEST_AXE names a file"));
    }
    let reason = "no axe-core: run `make test`, which installs axe-playwright-python";
    let python = std::env::var_os("DRAFTSMAN_TEST_PYTHON").map(PathBuf::from);
    let python = python.unwrap_or_else(|| workspace_dir().join("target/py-venv/bin/python"));
    let find = "import importlib.util as u; s = u.find_spec('axe_playwright_python'); print(s.origin if s else '')";
    let found = Command::new(python).args(["-c", find]).output().await;
    let origin = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let file = origin.ok().filter(|origin| !origin.is_empty());
    let file = file.and_then(|origin| Some(Path::new(&origin).parent()?.join("axe.min.js")));
    match file.map(std::fs::read_to_string) {
        Some(Ok(source)) => Some(source),
        _ => {
            println!("skipped: {reason}");
            None
        }
    }
}
