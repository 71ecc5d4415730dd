//! The web app over made-up alerts, to look at it and to work on it without a sensor:
//!
//! `cargo run --example ui_demo -- [alerts] [alerts per second] [port]`

use std::time::Duration;

use falconet::alert::log::{AlertLog, LogConfig};
use falconet::alert::now;
use falconet::ui::{self, UiConfig};

#[path = "../../tests/ui/made_up.rs"]
#[expect(clippy::unwrap_used, reason = "numbers that are made up fit")]
mod made_up;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let mut next = |default| args.next().unwrap_or(Ok(default));
    let (count, rate, port) = (next(300)?, next(1)?, next(2802)?);
    let dir = std::env::temp_dir().join(format!("falconet-ui-demo-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let log = AlertLog::open(&LogConfig::at(dir.join("alerts.db")))?;

    let started = now();
    let mut batch = Vec::new();
    for alert in made_up::history(count, 26 * 3600, started) {
        batch.push(alert);
        if batch.len() == 2000 {
            log.append(std::mem::take(&mut batch)).await?;
        }
    }
    if count > 0 {
        batch.push(made_up::hostile(started));
    }
    log.append(batch).await?;

    let config =
        UiConfig { listenport: u16::try_from(port)?, password: Some("demo".into()), ..UiConfig::default() };
    let status = std::sync::Arc::new(made_up::MadeUpStatus { started });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let serving = ui::serve(&config, log.clone(), status, &dir, stopped).await?;
    println!("http://{} (user admin, password demo)", serving.address);
    let feed = tokio::spawn(async move {
        let mut n = count;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let alerts = (0..rate).map(|i| made_up::alert(n + i, now())).collect();
            n += rate;
            if rate == 0 || log.append(alerts).await.is_err() {
                break;
            }
        }
    });
    // Without a signal handler the process ends without cleaning up, as it would have anyway.
    let _ = tokio::signal::ctrl_c().await;
    stop.send_replace(true);
    serving.task.await?;
    feed.abort();
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
