//! `falconet rules watch`, `status` and `reload`: asked of the running sensor over its control socket.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::Value;

use crate::app::exit::{Class, Failure};
use crate::config::Config;
use crate::control::client::ClientError;
use crate::control::{self, Client, Request};

/// Where the sensor is.
#[derive(clap::Args)]
struct Place {
    /// The sensor's configuration file, which says where its control socket is [default: /etc/falconet/falconet.yaml, if it exists].
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// The control socket itself.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// Print the answers as they come, one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct WatchArgs {
    /// Name of the rule.
    name: String,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    place: Place,
}

/// Prints matches and near misses of a rule until interrupted.
pub fn watch(args: &WatchArgs) -> Result<(), Failure> {
    converse(&args.place, &Request::Watch { rule: args.name.clone() }, |reply, out| match kind(reply) {
        "watching" => {
            if let Some(note) = reply["note"].as_str() {
                eprintln!("note: {note}");
            }
            eprintln!("watching {:?}; its kernel filter is open meanwhile", args.name);
            Ok(())
        }
        "more" => writeln!(out, "… {} more", reply["count"]),
        _ => sight(reply, out),
    })
}

/// Prints the rules in use and their counters.
pub fn status(args: &StatusArgs) -> Result<(), Failure> {
    converse(&args.place, &Request::Rules, |reply, out| {
        writeln!(
            out,
            "{} loaded {} ({} loads, {} failed)",
            text(&reply["origin"]),
            text(&reply["loaded"]),
            reply["loads"],
            reply["failures"]
        )?;
        if let Some(failed) = reply["failed"].as_object() {
            writeln!(
                out,
                "what is in the files now is not in use: {}",
                failed.get("reason").map_or_else(String::new, text)
            )?;
        }
        writeln!(
            out,
            "{:>12} {:>12} {:>14} {:>9}  {:<14} RULE",
            "MATCHED", "LEFT OUT", "EVALUATED", "NS/EVENT", "STATUS"
        )?;
        for rule in reply["rules"].as_array().into_iter().flatten() {
            let ns = rule["ns_per_event"].as_f64().map_or_else(|| "-".to_owned(), |ns| format!("{ns:.1}"));
            let reason =
                rule["reason"].as_str().map_or_else(String::new, |why| format!(": {}", escaped(why)));
            writeln!(
                out,
                "{:>12} {:>12} {:>14} {ns:>9}  {:<14} {}{reason}",
                rule["matched"],
                rule["left_out"],
                rule["evaluated"],
                text(&rule["status"]),
                text(&rule["name"]),
            )?;
        }
        Ok(())
    })
}

/// Loads the rules again and tells what came of it.
pub fn reload(args: &ReloadArgs) -> Result<(), Failure> {
    converse(&args.place, &Request::Reload, |reply, out| {
        for warning in reply["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            writeln!(out, "{warning}")?;
        }
        writeln!(out, "{} rules of {} are in use", reply["rules"], text(&reply["origin"]))
    })
}

/// Asks and hands each answer to `print`, or prints it as it is.
fn converse(
    place: &Place,
    request: &Request,
    mut print: impl FnMut(&Value, &mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let places = if let Some(socket) = &place.socket {
        vec![socket.clone()]
    } else {
        let config =
            Config::load(place.config.as_deref(), &[]).map_err(|error| Failure::new(Class::Config, error))?;
        control::places(config.sensor.control_socket.as_deref(), &config.alert_log.path)
    };
    let failed = |error: ClientError| Failure::new(Class::Unavailable, error);
    let replies = Client::connect(&places).and_then(|client| client.ask(request)).map_err(failed)?;
    let mut out = io::stdout().lock();
    for reply in replies {
        let reply = reply.map_err(failed)?;
        if kind(&reply) == "error" {
            if let Some(diagnostics) = reply["diagnostics"].as_str() {
                eprintln!("{diagnostics}");
            }
            let message = reply["message"].as_str().unwrap_or_default().to_owned();
            let class = if *request == Request::Reload { Class::Rules } else { Class::Failed };
            return Err(Failure::new(class, anyhow!(message)));
        }
        let printed = if place.json { writeln!(out, "{reply}") } else { print(&reply, &mut out) };
        if printed.and_then(|()| out.flush()).is_err() {
            // Nobody reads any more.
            return Ok(());
        }
    }
    Ok(())
}

fn kind(reply: &Value) -> &str {
    reply["reply"].as_str().unwrap_or_default()
}

/// What a person reads of a string: control characters of the watched processes must not reach the terminal.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), escaped)
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() || is_invisible(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

/// Characters that change how their neighbours are shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// One event: when, what, who, where; for a near miss the comparison that kept the rule from firing.
fn sight(reply: &Value, out: &mut dyn Write) -> io::Result<()> {
    let (word, seen) = match reply["sight"].as_str() {
        Some("match") => ("match", reply),
        Some("near_miss") => ("near miss", &reply["seen"]),
        _ => return writeln!(out, "the rule is no longer in use"),
    };
    write!(out, "{} {word:<9} {}", text(&seen["time"]), text(&seen["event"]))?;
    if let Some(process) = seen["process"].as_str() {
        write!(out, "  {}({}) {}", escaped(process), seen["pid"], text(&seen["cmdline"]))?;
    }
    match seen["container"].as_str() {
        Some(container) => writeln!(out, "  container {}", escaped(container))?,
        None => writeln!(out)?,
    }
    let leaf = &reply["leaf"];
    if leaf.is_object() {
        let place = &leaf["place"];
        let at = if place.is_object() {
            format!("  ({}:{}:{})", text(&place["file"]), place["line"], place["column"])
        } else {
            String::new()
        };
        writeln!(out, "    {} is {}{at}", text(&leaf["text"]), text(&leaf["truth"]))?;
        for actual in leaf["actual"].as_array().into_iter().flatten() {
            let value = match &actual["value"] {
                _ if actual["hidden"] == true => "not shown: it may hold secrets".to_owned(),
                Value::Null => "without a value".to_owned(),
                Value::String(value) => format!("\"{}\"", escaped(value)),
                other => escaped(&other.to_string()),
            };
            writeln!(out, "      {} = {value}", text(&actual["field"]))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_near_miss_reads_as_a_sentence_and_cannot_drive_the_terminal() {
        let reply = json!({"reply": "sight", "sight": "near_miss",
            "seen": {"time": "t", "number": 1, "event": "openat", "pid": 7, "process": "ca\u{1b}[2Jt", "cmdline": "cat \u{202e}x", "container": "web"},
            "leaf": {"text": "fd.name = /etc/shadow", "truth": "false", "actual": [{"field": "fd.name", "value": "/etc/pass\nwd"}],
                "place": {"file": "r.yaml", "line": 3, "column": 5}}});
        let mut out = Vec::new();
        sight(&reply, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "t near miss openat  ca\\u{1b}[2Jt(7) cat \\u{202e}x  container web\n    fd.name = /etc/shadow is false  (r.yaml:3:5)\n      \
             fd.name = \"/etc/pass\\nwd\"\n"
        );
    }
}
