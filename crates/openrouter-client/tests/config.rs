//! What a client is set up with.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use http_transport::SystemClock;
use integration_core::{ErrorKind, RetryClass, Secret};
use openrouter_client::{Config, ConfigError, OpenRouterClient};

#[test]
fn a_configuration_is_read_and_checked() {
    let lookup = |pairs: &'static [(&str, &str)]| {
        Config::from_lookup(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    };
    let config = lookup(&[
        ("OPENROUTER_API_KEY", " sk-or-v1-CANARY\n"),
        ("OPENROUTER_APP_NAME", "App"),
        ("OPENROUTER_SITE_URL", "https://a.example"),
        ("OPENROUTER_BASE_URL", "https://eu.openrouter.ai/api/v1"),
    ])
    .unwrap();
    assert_eq!(
        (config.base_url(), config.has_key()),
        ("https://eu.openrouter.ai/api/v1", true)
    );
    let shown = format!("{config:?}");
    assert!(shown.contains("\"App\"") && !shown.contains("CANARY"), "{shown}");
    assert!(
        !format!(
            "{:?}",
            config
                .with_base_url("https://u:hunter2@h/?k=hunter2")
                .with_proxy("http://hunter2")
        )
        .contains("hunter2")
    );
    assert_eq!(lookup(&[]).unwrap_err(), ConfigError::MissingKey);
    assert_eq!(
        lookup(&[("OPENROUTER_API_KEY", "  ")]).unwrap_err(),
        ConfigError::MissingKey
    );
    let bad = lookup(&[("OPENROUTER_API_KEY", "CANARY key")]).unwrap_err();
    assert!(matches!(bad, ConfigError::InvalidKey(_)) && !bad.to_string().contains("CANARY"));
    let _ = Config::from_env();

    let key = || Secret::new("sk-or-v1-CANARY0123456789").unwrap();
    for (config, words) in [
        (
            Config::new(key()).with_base_url("http://openrouter.ai/api/v1"),
            "https",
        ),
        (Config::new(key()).with_base_url("nonsense"), "base URL"),
        (Config::new(key()).with_app("a\nb", ""), "OPENROUTER_APP_NAME"),
        (
            Config::new(key()).with_app("", "https://a\u{7f}"),
            "OPENROUTER_SITE_URL",
        ),
        (Config::new(key()).with_proxy("::"), "proxy"),
    ] {
        let error = OpenRouterClient::new(config).unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_class()),
            (ErrorKind::Config, RetryClass::Never)
        );
        assert!(error.message().contains(words), "{error}");
        assert!(!format!("{error:?}").contains("CANARY"));
    }
    assert!(
        OpenRouterClient::new(
            Config::new(key())
                .with_base_url("http://inside.example")
                .with_plain_http()
        )
        .is_ok()
    );
    assert!(OpenRouterClient::with_clock(Config::new(key()), Arc::new(SystemClock)).is_ok());
}
