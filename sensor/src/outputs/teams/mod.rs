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

pub use config::TeamsConfig;
pub use send::Teams;

#[cfg(test)]
mod check;
#[cfg(test)]
mod tests;
