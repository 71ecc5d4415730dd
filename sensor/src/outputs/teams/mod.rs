//! Microsoft Teams, through a Workflows webhook ("Post to a channel when a webhook request is received") with an Adaptive Card.
//! The older connectors took a MessageCard; Microsoft has switched them off, so that form is only used for their
//! addresses, or when `teams.format` asks for it.
//!
//! An alert (or, when many wait, a digest of them) becomes a [`message::Message`] in plain words, which is fitted to
//! the size Teams takes and rendered by [`card`] or [`message_card`]. All event text is escaped on the way, in [`markdown`].
//!
//! A Workflows webhook answers 202 before the flow runs. Whether the flow then posts the card can only be seen in its run
//! history; "delivered" means: accepted.

pub mod bucket;
pub mod card;
pub mod config;
pub mod digest;
pub mod markdown;
pub mod message;
pub mod message_card;
mod send;

use super::destination::Destination;
use super::http::ClientOptions;
use super::output::{Output, OutputError};
use super::shared::SharedConfig;

pub use config::TeamsConfig;
pub use send::Teams;

impl Destination for TeamsConfig {
    const DOCS: &'static str = "\
# A card in a Microsoft Teams channel. Enabled by the address of a Workflows webhook: in the channel, \"Workflows\",
# \"Post to a channel when a webhook request is received\".
teams:
  webhookurl: \"\"             # exactly as Teams shows it
  activityimage: \"\"          # image of a MessageCard; Adaptive Cards show none
  outputformat: all          # all, text, facts
  minimumpriority: \"\"        # e.g. warning; empty: all alerts
  mutualtls: false           # show the client's certificate
  checkcert: true            # verify the server's certificate
  maxconcurrentrequests: 1   # without an effect: Teams throttles by webhook, so cards go out one after another
  format: auto               # adaptivecard, messagecard; auto: MessageCard for addresses of the retired connectors
  rate: 1.0                  # cards per second in the long run
  burst: 4                   # cards that may go out at once after a quiet time
  digestabove: 20            # with more alerts waiting, one card counts them by rule; 0: always one card per alert
";

    fn output(&self, shared: &SharedConfig) -> Result<Option<Box<dyn Output>>, OutputError> {
        if self.webhookurl.is_empty() {
            return Ok(None);
        }
        let tls = shared.tls();
        let options = ClientOptions::falcosidekick("teams", &tls, self.mutualtls, self.checkcert);
        Ok(Some(Box::new(Teams::new(self, &options)?)))
    }
}

#[cfg(test)]
mod check;
#[cfg(test)]
mod tests;
