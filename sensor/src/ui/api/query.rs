//! Help with the query language: what is wrong, and how it could go on.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ApiError;
use super::error::{Params, byte_offset, utf16_offset};
use crate::alert::now;
use crate::alert::query::{Facet, Pattern, Query, keys};
use crate::rules::Priority;
use crate::ui::App;

/// Completions offered at most.
const MAX_COMPLETIONS: usize = 10;
/// Distinct values looked through for completions.
const MAX_VALUES: usize = 200;

/// The query of a request, with the error in the API's form.
pub fn parse(text: &str) -> Result<Query, ApiError> {
    Query::parse(text, now()).map_err(|error| ApiError::query(text, &error))
}

const TIMES: &[(&str, &str)] = &[
    ("15m", "15 minutes ago"),
    ("1h", "an hour ago"),
    ("6h", "6 hours ago"),
    ("24h", "a day ago"),
    ("7d", "a week ago"),
    ("30d", "30 days ago"),
];

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HelpParams {
    /// The query as far as it is typed.
    #[serde(default)]
    text: String,
    /// Where the cursor stands, in UTF-16 code units; at the end without it.
    cursor: Option<usize>,
}

/// What the server makes of a query.
#[derive(Serialize, ToSchema)]
pub struct QueryHelp {
    /// The text that this is about.
    pub text: String,
    pub error: Option<QueryProblem>,
    pub completions: Vec<Completion>,
}

/// What is wrong, and where: UTF-16 offset and length.
#[derive(Serialize, ToSchema)]
pub struct QueryProblem {
    pub message: String,
    pub at: usize,
    pub len: usize,
}

/// One way to go on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Completion {
    pub label: String,
    pub detail: String,
    /// Text to put in place of what is between `from` and `to` (UTF-16 offsets).
    pub insert: String,
    pub from: usize,
    pub to: usize,
}

/// Checks a query and completes the word at the cursor.
#[utoipa::path(get, path = "/api/v1/query", tag = "alerts", params(HelpParams), responses(
    (status = 200, body = QueryHelp), (status = 401, body = ApiError),
))]
pub async fn help(
    State(app): State<App>,
    Params(params): Params<HelpParams>,
) -> Result<Json<QueryHelp>, ApiError> {
    let text = params.text;
    let error = Query::parse(&text, now()).err().map(|error| {
        let problem = ApiError::query(&text, &error);
        QueryProblem {
            message: problem.message,
            at: problem.at.unwrap_or_default(),
            len: problem.len.unwrap_or_default(),
        }
    });
    let cursor = params.cursor.map_or(text.len(), |at| byte_offset(&text, at));
    let word = Word::at(&text, cursor);
    let mut found = word.keys();
    if let Some(facet) = word.key.and_then(Facet::named) {
        if facet == Facet::Priority {
            found = Priority::ALL.iter().map(|p| (p.as_str().to_lowercase(), String::new())).collect();
        } else {
            // Values of the alerts that the rest of the query leaves, or of all where it is not whole yet.
            let rest = format!("{} {}", word.before, word.after);
            let query = parse(&rest).or_else(|_| parse(""))?;
            let values = app.log.count_by(&query, facet, MAX_VALUES).await?;
            found = values.into_iter().map(|(value, n)| (value, alerts(n))).collect();
        }
    } else if word.key.is_some_and(|key| matches!(key, "since" | "until")) {
        found = TIMES.iter().map(|(time, means)| ((*time).to_owned(), (*means).to_owned())).collect();
    }
    let completions = word.complete(&text, found);
    Ok(Json(QueryHelp { text, error, completions }))
}

fn alerts(n: u64) -> String {
    if n == 1 { "1 alert".into() } else { format!("{n} alerts") }
}

/// The word that the cursor is in.
struct Word<'a> {
    /// The query before and after the word.
    before: &'a str,
    after: &'a str,
    /// Byte offset of what is completed: after `-` and after the key, if there is one.
    start: usize,
    end: usize,
    key: Option<&'a str>,
    /// What is typed of the value or key, without a quote.
    typed: &'a str,
}

impl<'a> Word<'a> {
    fn at(text: &'a str, cursor: usize) -> Self {
        let mut start = 0;
        let mut quoted = false;
        let mut escaped = false;
        for (i, c) in text.char_indices().take_while(|(i, _)| *i < cursor) {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                c if c.is_whitespace() && !quoted => start = i + c.len_utf8(),
                _ => {}
            }
        }
        let upto = text.get(start..cursor).unwrap_or_default();
        let rest = text.get(cursor..).unwrap_or_default();
        let length = if quoted {
            rest.find('"').map_or(rest.len(), |i| i + 1)
        } else {
            rest.find(char::is_whitespace).unwrap_or(rest.len())
        };
        let end = cursor + length;
        let (before, after) = (text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default());
        let positive = upto.strip_prefix('-').unwrap_or(upto);
        let start = cursor - positive.len();
        let operator = positive.find([':', '=', '<', '>']).filter(|_| !positive.starts_with('"'));
        let (key, typed) = match operator {
            Some(i) => {
                let (key, value) = positive.split_at(i);
                (Some(key), value.trim_start_matches([':', '=', '<', '>']))
            }
            None => (None, positive),
        };
        let start = if key.is_some() { cursor - typed.len() } else { start };
        Self { before, after, start, end, key, typed: typed.strip_prefix('"').unwrap_or(typed) }
    }

    fn keys(&self) -> Vec<(String, String)> {
        if self.key.is_some() {
            return Vec::new();
        }
        keys()
            .filter(|key| key.word != "uuid" && key.word != "time")
            .map(|key| {
                // "That severe or more" is what one nearly always wants.
                let operator = if key.word == Facet::Priority.word() { ">=" } else { ":" };
                (format!("{}{operator}", key.word), key.means.to_owned())
            })
            .collect()
    }

    /// Of `found`, what goes on with or contains what is typed, in that order.
    fn complete(&self, text: &str, found: Vec<(String, String)>) -> Vec<Completion> {
        let typed = self.typed.to_lowercase();
        let (from, to) = (utf16_offset(text, self.start), utf16_offset(text, self.end));
        let mut ranked: Vec<(bool, String, String)> = found
            .into_iter()
            .filter(|(value, _)| !value.is_empty())
            .filter_map(|(value, detail)| {
                let at = value.to_lowercase().find(&typed)?;
                // Keys only by their beginning: free text contains their letters all the time.
                (at == 0 || self.key.is_some()).then_some((at != 0, value, detail))
            })
            .collect();
        ranked.sort_by_key(|(inside, ..)| *inside);
        ranked.truncate(MAX_COMPLETIONS);
        ranked
            .into_iter()
            .map(|(_, label, detail)| {
                let insert = if self.key.is_some() {
                    format!("{} ", Pattern::literal(label.as_str()))
                } else {
                    label.clone()
                };
                Completion { label, detail, insert, from, to }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Word<'_> {
        let cursor = text.find('|').unwrap();
        // Tests mark the cursor by `|`; the text before it decides everything but `end`.
        Word::at(text, cursor)
    }

    #[test]
    fn the_word_at_the_cursor_is_found() {
        let w = word("priority>=warning ru|");
        assert_eq!((w.key, w.typed, w.before), (None, "ru", "priority>=warning "));
        let w = word("a -rule:\"Terminal sh|");
        assert_eq!((w.key, w.typed, w.before, w.start), (Some("rule"), "Terminal sh", "a ", 8));
        let w = word("priority>=|");
        assert_eq!((w.key, w.typed), (Some("priority"), ""));
        let w = word("\"a:b|");
        assert_eq!((w.key, w.typed), (None, "a:b"));
    }

    #[test]
    fn completion_replaces_the_whole_word() {
        let text = "ü host:no";
        let found = vec![
            ("node1".to_owned(), String::new()),
            ("db-node".into(), String::new()),
            ("x".into(), String::new()),
        ];
        let completions = Word::at(text, text.len()).complete(text, found);
        assert_eq!(completions.iter().map(|c| c.label.as_str()).collect::<Vec<_>>(), ["node1", "db-node"]);
        assert_eq!((completions[0].from, completions[0].to), (7, 9));
        assert_eq!(completions[0].insert, "node1 ");
    }
}
