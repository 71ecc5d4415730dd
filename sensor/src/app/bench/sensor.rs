//! The sensor under test: this same binary, started as a user would, watched from outside.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for the sensor to be ready, and for it to have judged what was seen.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running sensor, ended on drop.
pub struct Sensor {
    child: Child,
    metrics: SocketAddr,
    state: PathBuf,
    /// From start to the line `ready`.
    pub ready: Duration,
}

/// What it says of itself at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// CPU seconds of all its threads.
    pub cpu: f64,
    /// Events looked at: handed to user space, or dropped in the kernel because no rule wants them.
    pub events: f64,
    /// Events handed to user space.
    pub handed: f64,
    /// Events lost.
    pub lost: f64,
    /// Records judged.
    pub judged: f64,
}

impl Sensor {
    /// Starts it with a state directory of its own and waits for `ready`.
    pub fn start(rules: &[PathBuf]) -> Result<Self> {
        let state = std::env::temp_dir().join(format!("falconet-bench-{}", std::process::id()));
        let (hub, ui) = (free_port()?, free_port()?);
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("run")
            .arg("-o")
            .arg(format!("alert_log.path={}", state.join("alerts.db").display()))
            .args(["-o", &format!("listenport={hub}"), "-o", &format!("ui.listenport={ui}")])
            .args(["-o", "stdout_output.enabled=false"]);
        for file in rules {
            command.arg("-r").arg(file);
        }
        let start = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the sensor")?;
        let stderr = child.stderr.take().context("the sensor has a standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let ready = loop {
            let Some(line) = lines.next().transpose()? else {
                let status = child.wait()?;
                bail!("the sensor ended with {status} before it was ready:\n{said}");
            };
            if line.trim_start().starts_with("ready") {
                break start.elapsed();
            }
            said.push_str(&line);
            said.push('\n');
        };
        // Nobody reads the rest, but a full pipe would stop the sensor.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, metrics: SocketAddr::from((Ipv4Addr::LOCALHOST, hub)), state, ready })
    }

    /// Share of a core that it takes while nothing is asked of it.
    pub fn idle(&mut self, time: Duration) -> Result<f64> {
        let before = self.read()?.cpu;
        std::thread::sleep(time);
        Ok((self.read()?.cpu - before) / time.as_secs_f64())
    }

    pub fn read(&self) -> Result<Reading> {
        let text = self.scrape()?;
        let sum = |name: &str| -> f64 {
            text.lines()
                .filter(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
                .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        Ok(Reading {
            cpu: self.cpu()?,
            events: sum("falconet_probe_events_total") + sum("falconet_probe_filtered_total"),
            handed: sum("falconet_probe_events_total"),
            lost: sum("falconet_probe_lost_total"),
            judged: sum("falconet_engine_records_total"),
        })
    }

    /// A reading after everything seen has been judged.
    pub fn settled(&self) -> Result<Reading> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reading = self.read()?;
            if reading.judged + 16.0 >= reading.handed {
                return Ok(reading);
            }
            if Instant::now() > deadline {
                bail!("the sensor does not catch up: {reading:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory, bytes.
    pub fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kilobytes * 1024.0)
    }

    /// Ends it as Ctrl-C would.
    pub fn stop(mut self) -> Result<()> {
        self.interrupt();
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the sensor ended with {status}");
        }
        Ok(())
    }

    fn interrupt(&self) {
        // One that has ended needs no signal.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
    }

    /// Time on a CPU of all threads, from `/proc/PID/task/TID/schedstat`, which counts nanoseconds.
    fn cpu(&self) -> Result<f64> {
        let mut nanoseconds = 0.0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end meanwhile.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanoseconds += text.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        }
        Ok(nanoseconds / 1e9)
    }

    fn scrape(&self) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.metrics, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.interrupt();
        // It has ended already, or does so now; there is nothing to do about a failure here.
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

/// A port of the loopback address that nobody uses now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
