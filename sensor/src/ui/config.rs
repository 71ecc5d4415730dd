//! The `ui` part of the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

/// Where the web app listens and who may log in.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UiConfig {
    /// Serve the web app and its API. Default `true`.
    pub enabled: bool,
    /// Address to listen on. Default `127.0.0.1`; put a TLS proxy in front before you widen it.
    pub listenaddress: IpAddr,
    /// TCP port. Default 2802, as Falcosidekick-UI; 0 takes a free one.
    pub listenport: u16,
    /// The one user. Default `admin`.
    pub user: String,
    /// That user's password. Without it one is made at the first start, shown once, and only its argon2 hash is kept.
    pub password: Option<String>,
    /// More names by which browsers may call this server while it listens on loopback only, e.g. that of a proxy
    /// in front of it. `localhost` and loopback addresses are always allowed.
    pub allowedhosts: Vec<String>,
}

impl Default for UiConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listenaddress: IpAddr::V4(Ipv4Addr::LOCALHOST),
            listenport: 2802,
            user: "admin".into(),
            password: None,
            allowedhosts: Vec::new(),
        }
    }
}

impl fmt::Debug for UiConfig {
    /// The password stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UiConfig")
            .field("enabled", &self.enabled)
            .field("listenaddress", &self.listenaddress)
            .field("listenport", &self.listenport)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("allowedhosts", &self.allowedhosts)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_loopback_and_no_password() {
        let config: UiConfig = serde_json::from_str("{}").unwrap();
        assert!(config.enabled && config.listenaddress.is_loopback());
        assert_eq!((config.listenport, config.password), (2802, None));
        assert!(serde_json::from_str::<UiConfig>(r#"{"listenprot":1}"#).is_err());
    }

    #[test]
    fn the_password_is_not_printed() {
        let config = UiConfig { password: Some("swordfish".into()), ..UiConfig::default() };
        assert!(!format!("{config:?}").contains("swordfish"));
    }
}
