//! What the control socket of a running sensor opens to.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::in_use::InUse;
use super::reload;
use crate::control::{self, Reloaded, Reply, Watched};
use crate::engine::Orders;
use crate::engine::sights::Watch;
use crate::rules::{RuleSet, Status};
use crate::telemetry::status::Rules;

/// Reports that wait for a client; more are counted.
const WAITING: usize = 256;

/// The sensor behind the socket.
pub struct Door {
    pub in_use: Arc<InUse>,
    pub reload: reload::Handle,
    pub orders: Orders,
}

/// Ends a watch: the kernel's filter closes again.
struct End {
    reload: reload::Handle,
    rule: String,
}

impl Drop for End {
    fn drop(&mut self) {
        self.reload.close(&self.rule);
    }
}

impl control::Door for Door {
    fn rules(&self) -> Option<Rules> {
        Some(self.in_use.now().rules())
    }

    async fn reload(&self) -> Result<Reloaded, Reply> {
        match self.reload.reloaded().await {
            Some(Ok(reloaded)) => Ok(reloaded),
            Some(Err(refused)) => Err(Reply::Error {
                message: refused.reason.clone(),
                diagnostics: refused.diagnostics.clone(),
            }),
            None => Err(Reply::Error { message: "the sensor is ending".to_owned(), diagnostics: None }),
        }
    }

    async fn watch(&self, name: &str) -> Result<Watched, String> {
        let rules = self.in_use.now().rules;
        let note = note(&rules, name)?;
        // Whatever becomes of it, the filter closes again.
        let end = End { reload: self.reload.clone(), rule: name.to_owned() };
        self.reload.open(name).await?;
        let (reports, sights) = mpsc::channel(WAITING);
        let watch = Watch { rule: name.to_owned(), reports, more: Arc::default() };
        let more = watch.more.clone();
        self.orders.watch(watch).await.map_err(|ended| ended.to_string())?;
        Ok(Watched { sights, more, note, end: Box::new(end) })
    }
}

/// What a watch of the rule cannot show; the error names a rule that there is.
fn note(rules: &RuleSet, name: &str) -> Result<Option<String>, String> {
    let rule = rules.find(name).map_err(|unknown| unknown.to_string())?;
    Ok(match &rule.status {
        Status::Active => None,
        Status::Limited(reason) | Status::Inactive(reason) => {
            let (word, _) = rule.status.told();
            Some(format!("the rule is {word}: {reason}"))
        }
        Status::Disabled => Some("the rule is disabled: it matches, but raises no alerts".to_owned()),
        Status::BelowPriority => {
            Some("the rule is below the priority threshold: it matches, but raises no alerts".to_owned())
        }
    })
}
