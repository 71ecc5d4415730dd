//! The dispatcher against a scripted output and a log in memory, on tokio's paused clock.

use std::sync::Mutex;

use futures_util::future::BoxFuture;

use super::*;
use crate::outputs::testing::{Memory, alert};
use crate::rules::Priority;

/// Answers a try: number of the try (from 0) and the rules of its batch.
type Script = dyn Fn(usize, &[String]) -> Result<(), SendError> + Send + Sync;

/// The rules of a batch, with the time since the start.
type Sent = (Duration, Vec<String>);

#[derive(Clone)]
struct Scripted {
    script: Arc<Script>,
    plan: Plan,
    minimum: Option<Priority>,
    takes: Duration,
    sent: Arc<Mutex<Vec<Sent>>>,
    start: Instant,
}

impl Scripted {
    fn new(script: impl Fn(usize, &[String]) -> Result<(), SendError> + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            plan: Plan { requests: 1, alerts: 1 },
            minimum: None,
            takes: Duration::ZERO,
            sent: Arc::default(),
            start: Instant::now(),
        }
    }

    fn rules(&self) -> Vec<String> {
        self.sent.lock().unwrap().iter().map(|(_, rules)| rules.join("+")).collect()
    }
}

impl Output for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn minimum_priority(&self) -> Option<Priority> {
        self.minimum
    }

    fn plan(&self, _waiting: usize) -> Plan {
        self.plan
    }

    fn send<'a>(&'a self, batch: &'a [Arc<Alert>]) -> BoxFuture<'a, Result<(), SendError>> {
        let rules: Vec<String> = batch.iter().map(|a| a.rule.clone()).collect();
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            let n = {
                let mut sent = self.sent.lock().unwrap();
                sent.push((self.start.elapsed(), rules.clone()));
                sent.len() - 1
            };
            (self.script)(n, &rules)
        })
    }
}

struct Started {
    status: Cell,
    shutdown: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn start(output: &Scripted, memory: &Memory) -> Started {
    let (shutdown, stop) = watch::channel(false);
    let status = Cell::new("scripted");
    let task =
        tokio::spawn(run(Box::new(output.clone()), memory.clone(), status.clone(), Limits::default(), stop));
    Started { status, shutdown, task }
}

impl Started {
    /// Waits until the stored cursor reaches `seq`.
    async fn until(&self, memory: &Memory, seq: Seq) {
        tokio::time::timeout(Duration::from_hours(24), async {
            while memory.cursor_of("scripted") < seq {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await
        .expect("the cursor moves");
    }

    async fn end(self) {
        self.shutdown.send_replace(true);
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("ends").expect("no panic");
    }
}

fn retry(suspect: bool) -> Result<(), SendError> {
    Err(SendError::Retry { after: None, suspect, reason: "answered 500".into() })
}

#[tokio::test(start_paused = true)]
async fn alerts_arrive_in_order_and_new_ones_wake_the_task() {
    let memory = Memory::with(300);
    let output = Scripted::new(|_, _| Ok(()));
    let started = start(&output, &memory);
    started.until(&memory, 300).await;
    memory.push(alert(301));
    started.until(&memory, 301).await;
    let expected: Vec<String> = (1..=301).map(|n| format!("Rule {n}")).collect();
    assert_eq!(output.rules(), expected);
    let status = started.status.get();
    assert_eq!((status.delivered, status.waiting, status.state), (301, 0, State::Healthy));
    assert_eq!(memory.fates().len(), 301);
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_loses_nothing_and_pauses_grow() {
    let memory = Memory::with(3);
    let output = Scripted::new(|n, _| if n < 60 { retry(true) } else { Ok(()) });
    let started = start(&output, &memory);
    tokio::time::sleep(Duration::from_mins(15)).await;
    let status = started.status.get();
    assert_eq!((status.state, status.delivered, status.waiting), (State::Failing, 0, 3));
    assert_eq!(status.oldest_waiting, Some(alert(1).received));
    assert!(status.last_error.unwrap().contains("500"));
    started.until(&memory, 3).await;
    let status = started.status.get();
    assert_eq!((status.state, status.delivered, status.dead), (State::Healthy, 3, 0));
    let times: Vec<Duration> = output.sent.lock().unwrap().iter().map(|(at, _)| *at).collect();
    let pauses = times.windows(2).map(|w| w[1].saturating_sub(w[0]));
    assert!(pauses.max() <= Some(Duration::from_secs(301)), "no pause above 5 min");
    // Up to 60 tries with ceilings 2, 4, ... 300 s: far more than an hour if each pause is long, and far from a spin.
    assert!(times[59] > Duration::from_mins(10), "{:?}", times[59]);
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_alert_is_dead_at_once() {
    let memory = Memory::with(3);
    let output = Scripted::new(|_, rules| {
        if rules == ["Rule 2"] {
            Err(SendError::Permanent { reason: "answered 400: bad".into() })
        } else {
            Ok(())
        }
    });
    let started = start(&output, &memory);
    started.until(&memory, 3).await;
    assert_eq!(output.rules(), ["Rule 1", "Rule 2", "Rule 3"]);
    assert_eq!(memory.fates()[1], (2, Fate::Dead("answered 400: bad".into())));
    let status = started.status.get();
    assert_eq!((status.delivered, status.dead, status.failed_tries), (2, 1, 0));
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_alert_does_not_block_the_queue() {
    let memory = Memory::with(4);
    let output = Scripted::new(|_, rules| if rules == ["Rule 2"] { retry(true) } else { Ok(()) });
    let started = start(&output, &memory);
    started.until(&memory, 4).await;
    let fates = memory.fates();
    assert!(matches!(&fates[1], (2, Fate::Dead(reason)) if reason.contains("answered 500")), "{fates:?}");
    assert_eq!(fates.iter().filter(|(_, f)| *f == Fate::Delivered).count(), 3);
    let tries_of_3 = output.rules().iter().filter(|r| *r == "Rule 3").count();
    assert_eq!(tries_of_3, 1, "the probe counts as its delivery");
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_poisonous_alert_without_a_successor_waits_for_one() {
    let memory = Memory::with(1);
    let output = Scripted::new(|_, rules| if rules == ["Rule 1"] { retry(true) } else { Ok(()) });
    let started = start(&output, &memory);
    tokio::time::sleep(Duration::from_hours(4)).await;
    assert_eq!(started.status.get().dead, 0);
    memory.push(alert(2));
    started.until(&memory, 2).await;
    assert_eq!(started.status.get().dead, 1);
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_destination_never_makes_an_alert_suspect() {
    let memory = Memory::with(2);
    let output = Scripted::new(|n, rules| {
        if rules == ["Rule 2"] || n >= 30 {
            Ok(())
        } else {
            Err(SendError::unreachable("connection refused"))
        }
    });
    let started = start(&output, &memory);
    started.until(&memory, 2).await;
    assert_eq!(started.status.get().dead, 0);
    assert_eq!(output.rules().last().unwrap(), "Rule 2");
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let memory = Memory::with(1);
    let output = Scripted::new(|n, _| match n {
        0 => Err(SendError::Retry {
            after: Some(Duration::from_secs(77)),
            suspect: false,
            reason: "429".into(),
        }),
        _ => Ok(()),
    });
    let started = start(&output, &memory);
    started.until(&memory, 1).await;
    let sent = output.sent.lock().unwrap().clone();
    let pause = sent[1].0.saturating_sub(sent[0].0).as_secs_f64();
    assert!((77.0..78.1).contains(&pause), "{pause}");
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn less_severe_alerts_are_filtered_but_for_the_test_rule() {
    let memory = Memory::with(2);
    let debug = |rule: &str| {
        let mut alert = alert(9);
        alert.priority = Priority::Debug;
        alert.rule = rule.into();
        alert
    };
    memory.push(debug("Noise"));
    memory.push(debug(TEST_RULE));
    let mut output = Scripted::new(|_, _| Ok(()));
    output.minimum = Some(Priority::Warning);
    let started = start(&output, &memory);
    started.until(&memory, 4).await;
    assert_eq!(output.rules(), ["Rule 1", "Rule 2", TEST_RULE]);
    assert_eq!(memory.fates()[2], (3, Fate::Filtered));
    assert_eq!(started.status.get().filtered, 1);
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_resumes_from_the_cursor() {
    let memory = Memory::with(10);
    let output = Scripted::new(|n, _| if n < 4 { Ok(()) } else { retry(false) });
    let started = start(&output, &memory);
    tokio::time::sleep(Duration::from_mins(1)).await;
    started.end().await;
    assert_eq!(memory.cursor_of("scripted"), 4);
    let output = Scripted::new(|_, _| Ok(()));
    let started = start(&output, &memory);
    started.until(&memory, 10).await;
    assert_eq!(output.rules().first().unwrap(), "Rule 5");
    assert_eq!(output.rules().len(), 6);
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_in_the_middle_sends_again_rather_than_not_at_all() {
    let memory = Memory::with(50);
    let mut output = Scripted::new(|_, _| Ok(()));
    output.takes = Duration::from_millis(7);
    let started = start(&output, &memory);
    tokio::time::sleep(Duration::from_millis(250)).await;
    started.task.abort();
    let before = output.rules();
    assert!(before.len() > 10 && before.len() < 50, "{}", before.len());
    let started = start(&output, &memory);
    started.until(&memory, 50).await;
    let all: std::collections::BTreeSet<String> = output.rules().into_iter().collect();
    assert_eq!(all.len(), 50);
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn several_requests_go_out_at_once_and_only_the_failed_one_again() {
    let memory = Memory::with(6);
    let mut output =
        Scripted::new(|n, rules| if rules == ["Rule 2"] && n < 3 { retry(false) } else { Ok(()) });
    output.plan = Plan { requests: 3, alerts: 1 };
    output.takes = Duration::from_secs(1);
    let started = start(&output, &memory);
    started.until(&memory, 6).await;
    let rules = output.rules();
    assert_eq!(rules.iter().filter(|r| *r == "Rule 2").count(), 2, "{rules:?}");
    assert_eq!(rules.len(), 7, "{rules:?}");
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn batches_hold_what_the_plan_says() {
    let memory = Memory::with(5);
    let mut output = Scripted::new(|_, _| Ok(()));
    output.plan = Plan { requests: 1, alerts: 3 };
    let started = start(&output, &memory);
    started.until(&memory, 5).await;
    assert_eq!(output.rules(), ["Rule 1+Rule 2+Rule 3", "Rule 4+Rule 5"]);
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_drains_what_goes_out_and_leaves_the_rest() {
    let memory = Memory::with(100);
    let mut output = Scripted::new(|_, _| Ok(()));
    output.takes = Duration::from_millis(300);
    let started = start(&output, &memory);
    tokio::time::sleep(Duration::from_secs(1)).await;
    started.end().await;
    let sent = output.rules().len();
    assert!((15..=21).contains(&sent), "1 s before and 5 s of grace at 0.3 s each: {sent}");
    assert_eq!(memory.cursor_of("scripted"), Seq::try_from(sent).unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_output_that_stops_leaves_its_alerts_in_the_log() {
    let memory = Memory::with(3);
    let output = Scripted::new(|n, _| match n {
        0 => Ok(()),
        _ => Err(SendError::Stop { reason: "the pipe was closed".into() }),
    });
    let started = start(&output, &memory);
    started.task.await.unwrap();
    assert_eq!(started.status.get().state, State::Stopped);
    assert_eq!(memory.cursor_of("scripted"), 1);
    assert_eq!(started.status.get().waiting, 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_log_is_waited_for() {
    let memory = Memory::with(3);
    memory.fail_next(3);
    let output = Scripted::new(|_, _| Ok(()));
    let started = start(&output, &memory);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(started.status.get().last_error.unwrap().contains("disk full"));
    started.until(&memory, 3).await;
    assert_eq!(output.rules().len(), 3);
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_log_removed_is_counted() {
    let memory = Memory::with(10);
    memory.trim(4);
    let output = Scripted::new(|_, _| Ok(()));
    let started = start(&output, &memory);
    started.until(&memory, 10).await;
    let status = started.status.get();
    assert_eq!((status.lost, status.delivered), (4, 6));
    memory.push(alert(11));
    memory.trim(7);
    memory.push(alert(12));
    started.until(&memory, 12).await;
    assert_eq!(started.status.get().lost, 5);
    memory.push(alert(13));
    memory.trim(2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = started.status.get();
    assert_eq!((status.lost, status.waiting, status.last_error), (6, 0, None));
    started.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_sent_again_when_asked() {
    let memory = Memory::with(3);
    let output = Scripted::new(|n, rules| {
        if rules == ["Rule 2"] && n < 3 {
            Err(SendError::Permanent { reason: "answered 404".into() })
        } else {
            Ok(())
        }
    });
    let started = start(&output, &memory);
    started.until(&memory, 3).await;
    memory.replay(&[2]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(output.rules(), ["Rule 1", "Rule 2", "Rule 3", "Rule 2"]);
    assert_eq!(memory.fates().last().unwrap(), &(2, Fate::Delivered));
    assert_eq!(memory.cursor_of("scripted"), 3);
    memory.push(alert(4));
    started.until(&memory, 4).await;
    assert_eq!(output.rules().len(), 5);
    started.end().await;
}
