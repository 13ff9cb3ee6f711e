//! A gateway in this process, over a real ledger file and a simulated or a named upstream.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::sync::Arc;

use gateway::app::App;
use gateway::config::{Overrides, Settings};
use gateway::environment::Environment;
use gateway::http::Server;
use http_transport::SystemClock;
use integration_core::Clock;
use serde_json::Value;
use store_sqlite::{SqliteStore, StoreOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub struct Gateway {
    pub base: String,
    pub app: Arc<App>,
    pub dir: TempDir,
    pub http: reqwest::Client,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A simulated upstream that does not wait.
pub const INSTANT: &str = "[simulator]\ninstant = true\n";

impl Gateway {
    /// With a key, in front of something that speaks like OpenRouter.
    pub async fn behind(key: &str, base_url: &str) -> Self {
        Self::with(
            "",
            [("OPENROUTER_API_KEY", key), ("OPENROUTER_BASE_URL", base_url)],
        )
        .await
    }

    pub async fn start() -> Self {
        Self::with(INSTANT, []).await
    }

    pub async fn with<const N: usize>(config: &str, env: [(&str, &str); N]) -> Self {
        Self::at(Arc::new(SystemClock), config, env).await
    }

    /// With a clock of its own.
    pub async fn at<const N: usize>(clock: Arc<dyn Clock>, config: &str, env: [(&str, &str); N]) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), clock, config, env).await
    }

    /// On the ledger that another one has left.
    pub async fn in_folder<const N: usize>(
        dir: TempDir,
        clock: Arc<dyn Clock>,
        config: &str,
        env: [(&str, &str); N],
    ) -> Self {
        Self::with_store(dir, StoreOptions::default(), clock, config, env).await
    }

    /// On a ledger that is opened so.
    pub async fn with_store<const N: usize>(
        dir: TempDir,
        options: StoreOptions,
        clock: Arc<dyn Clock>,
        config: &str,
        env: [(&str, &str); N],
    ) -> Self {
        let file = dir.path().join("waypost.toml");
        std::fs::write(&file, config).unwrap();
        let mut overrides = Overrides::default();
        overrides.config = Some(file);
        overrides.listen = Some("127.0.0.1:0".to_owned());
        overrides.data_dir = Some(dir.path().join("data"));
        let settings = Settings::resolve(&overrides, &Environment::of(env)).unwrap();
        let store = Arc::new(SqliteStore::open_with(&settings.data_dir, options).unwrap());
        let app = Arc::new(App::with_parts(settings, store, clock).await.unwrap());
        let server = Server::bind(Arc::clone(&app)).await.unwrap();
        let base = format!("http://{}", server.address());
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            base,
            app,
            dir,
            http,
            stop,
            task,
        }
    }

    pub fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let url = format!("{}/v1/chat/completions", self.base);
        self.http
            .post(url)
            .header("content-type", "application/json")
            .body(body)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let response = self
            .http
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        (
            status,
            serde_json::from_str(&response.text().await.unwrap()).unwrap(),
        )
    }

    /// The data lines of a streamed answer, the end mark included.
    pub async fn stream(&self, request: reqwest::RequestBuilder) -> Vec<String> {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        data_lines(&response.text().await.unwrap())
    }

    /// The ledger, read as any other program would.
    pub fn ledger(&self) -> Vec<Row> {
        let path = self.dir.path().join("data/waypost.db");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = rusqlite::Connection::open_with_flags(path, flags).unwrap();
        let mut query = db
            .prepare(
                "SELECT request_id, attempt, model, outcome, error_kind, cost_pico, markup_pico, charge_pico, \
                 cost_status, simulated FROM attempts ORDER BY started_us, attempt",
            )
            .unwrap();
        let rows = query.query_map([], |row| {
            Ok(Row {
                request: row.get(0)?,
                attempt: row.get(1)?,
                model: row.get(2)?,
                outcome: row.get(3)?,
                error_kind: row.get(4)?,
                cost: row.get(5)?,
                markup: row.get(6)?,
                charge: row.get(7)?,
                status: row.get(8)?,
                simulated: row.get(9)?,
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// One number of the ledger, by a query of SQL.
    pub fn number(&self, sql: &str) -> i64 {
        let path = self.dir.path().join("data/waypost.db");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = rusqlite::Connection::open_with_flags(path, flags).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Whether everything in the ledger adds up.
    pub async fn holds(&self) {
        let found = self.app.store.verify().await.unwrap();
        assert!(found.holds(), "{:#?}", found.violations);
    }

    /// Stops it; the folder with the ledger is left.
    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        self.task.await.unwrap();
        self.dir
    }
}

/// Lets everything else run until something is so.
pub async fn within_20_s(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), waiting)
        .await
        .unwrap();
}

#[derive(Debug)]
pub struct Row {
    pub request: String,
    pub attempt: i64,
    pub model: String,
    pub outcome: Option<String>,
    pub error_kind: Option<String>,
    pub cost: Option<i64>,
    pub markup: Option<i64>,
    pub charge: Option<i64>,
    pub status: Option<String>,
    pub simulated: i64,
}

pub fn data_lines(body: &str) -> Vec<String> {
    body.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(str::to_owned)
        .collect()
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A decimal amount in US dollars as whole pico-dollars.
pub fn pico(amount: &Value) -> i64 {
    let amount: rust_decimal::Decimal = amount.as_str().unwrap().parse().unwrap();
    (amount * rust_decimal::Decimal::from(1_000_000_000_000_i64))
        .normalize()
        .to_string()
        .parse()
        .unwrap()
}

/// How many attempts of a ledger were never settled.
pub fn unsettled(dir: &TempDir) -> i64 {
    let db = rusqlite::Connection::open(dir.path().join("data/waypost.db")).unwrap();
    db.query_row("SELECT count(*) FROM attempts WHERE outcome IS NULL", [], |row| {
        row.get(0)
    })
    .unwrap()
}
