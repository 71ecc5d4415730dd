//! `teams`: falcosidekick's keys, and ours for the format and the pace.

use reqwest::Url;
use serde::Deserialize;

use crate::outputs::output::OutputError;
use crate::outputs::values::{MinimumPriority, Secret};

/// `teams`: enabled when `webhookurl` is set.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeamsConfig {
    /// Address of the webhook, exactly as Teams shows it: its query is signed.
    pub webhookurl: Secret,
    /// Address of the image of a MessageCard. Adaptive Cards show none.
    pub activityimage: String,
    pub outputformat: OutputFormat,
    pub minimumpriority: MinimumPriority,
    /// Show the client's certificate.
    pub mutualtls: bool,
    /// Verify the server's certificate.
    pub checkcert: bool,
    /// Accepted; cards are sent one after another, as Teams throttles by webhook.
    pub maxconcurrentrequests: usize,
    pub format: Format,
    /// Cards per second in the long run.
    pub rate: f64,
    /// Cards that may go out at once after a quiet time.
    pub burst: u32,
    /// With more alerts waiting, one card counts them by rule; 0 = always one card per alert.
    pub digestabove: usize,
}

impl Default for TeamsConfig {
    fn default() -> Self {
        Self {
            webhookurl: Secret::default(),
            activityimage: String::new(),
            outputformat: OutputFormat::All,
            minimumpriority: MinimumPriority::default(),
            mutualtls: false,
            checkcert: true,
            maxconcurrentrequests: 1,
            format: Format::Auto,
            rate: 1.0,
            burst: 4,
            digestabove: 20,
        }
    }
}

/// What a card shows of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// Text and facts. Falcosidekick's empty value means the same.
    #[default]
    #[serde(alias = "")]
    All,
    Text,
    Facts,
}

/// `teams.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A MessageCard for the hosts of the retired connectors, else an Adaptive Card.
    #[default]
    Auto,
    AdaptiveCard,
    MessageCard,
}

/// The form of card that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    Adaptive,
    Message,
}

impl TeamsConfig {
    /// The card for `url`.
    pub fn card(&self, url: &Url) -> Card {
        match self.format {
            Format::MessageCard => Card::Message,
            Format::Auto if is_connector(url) => Card::Message,
            Format::AdaptiveCard | Format::Auto => Card::Adaptive,
        }
    }

    /// Refuses paces that would stop or flood.
    pub fn check(&self) -> Result<(), OutputError> {
        if !(self.rate.is_finite() && self.rate > 0.0) {
            let problem = format!("{} cards per second cannot be kept", self.rate);
            return Err(OutputError::new("teams.rate", problem, "use a number above 0; Teams takes about 1"));
        }
        if self.burst == 0 {
            let problem = "no card could ever be sent";
            return Err(OutputError::new("teams.burst", problem, "use 1 or more; Teams takes 4 in a second"));
        }
        Ok(())
    }
}

/// True for the hosts of Office 365 connectors, which Microsoft has retired.
pub fn is_connector(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    host == "webhook.office.com"
        || host.ends_with(".webhook.office.com")
        || host == "outlook.office.com"
        || host == "outlook.office365.com"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_follows_the_host_unless_told() {
        let card = |format, url: &str| {
            let config = TeamsConfig { format, ..TeamsConfig::default() };
            config.card(&url.parse().unwrap())
        };
        for url in [
            "https://contoso.webhook.office.com/webhookb2/x",
            "https://outlook.office.com/webhook/x",
            "https://OUTLOOK.office365.com/webhook/x",
        ] {
            assert_eq!(card(Format::Auto, url), Card::Message, "{url}");
            assert_eq!(card(Format::AdaptiveCard, url), Card::Adaptive, "{url}");
        }
        for url in [
            "https://x.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/y",
            "https://prod-01.westeurope.logic.azure.com:443/workflows/y",
            "https://evilwebhook.office.com.example.org/",
        ] {
            assert_eq!(card(Format::Auto, url), Card::Adaptive, "{url}");
            assert_eq!(card(Format::MessageCard, url), Card::Message, "{url}");
        }
    }

    #[test]
    fn an_empty_outputformat_means_all_and_a_pace_must_be_possible() {
        let config: TeamsConfig = serde_json::from_str(r#"{"outputformat": ""}"#).unwrap();
        assert_eq!(config.outputformat, OutputFormat::All);
        for bad in [r#"{"rate": 0}"#, r#"{"rate": -1}"#, r#"{"burst": 0}"#] {
            let config: TeamsConfig = serde_json::from_str(bad).unwrap();
            assert!(config.check().is_err(), "{bad}");
        }
    }
}
